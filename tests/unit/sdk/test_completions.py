from __future__ import annotations

import sys

import pytest

from relay_sdk.completions import make_client
from relay_sdk.errors import UsageError


def test_without_the_openai_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extra is named as it is typed."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UsageError, match=r"pip install 'relay-stream\[openai\]'"):
        make_client("http://127.0.0.1:1/v1", "none")
