"""Which release of the relay this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

UNKNOWN: Final = "0"


@cache
def release() -> str:
    """Return the version that is installed; `UNKNOWN` where the sources run by themselves.

    Asked for once: it is read from files.
    """
    try:
        return version("relay-stream")
    except PackageNotFoundError:
        return UNKNOWN
