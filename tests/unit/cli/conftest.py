"""The command line in an empty folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.command_line import Relay


@pytest.fixture
def relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Relay:
    """The command line with no settings in the environment and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("RELAY_"):
            monkeypatch.delenv(name)
    relay = Relay(tmp_path, capsys)
    server = ModuleType("relay.server")
    server.__dict__["serve"] = lambda settings, *, banner: relay.served.append(
        (settings, banner(settings.port or 4711) if banner else None)
    )
    monkeypatch.setitem(sys.modules, "relay.server", server)
    return relay
