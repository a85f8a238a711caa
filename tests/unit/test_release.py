from __future__ import annotations

import tomllib
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from relay.protocol import receiver
from relay.release import UNKNOWN, is_compiled, release


def test_it_is_the_one_that_the_project_says() -> None:
    """Of pyproject.toml, as it was installed."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert release() == project["version"]


def test_sources_that_were_not_installed_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else depends on it."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("relay.release.version", missing)
    assert release.__wrapped__() == UNKNOWN


def test_it_is_known_whether_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is imported, not by what was installed."""
    assert is_compiled() == (not str(receiver.__file__).endswith(".py"))
    for origin, compiled in (("receiver.cpython-311.so", True), ("receiver.py", False)):
        spec = ModuleSpec("relay.protocol.receiver", None, origin=origin)
        monkeypatch.setattr("relay.release.find_spec", lambda _name, spec=spec: spec)
        assert is_compiled() is compiled
