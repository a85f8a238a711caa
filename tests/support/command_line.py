"""The command line, run in the test's process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.cli import main
from relay.settings import Settings
from relay.store.store import Store


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Relay:
    """The command line, run in this process and in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capture = capture
        self.served: list[tuple[Settings, str | None]] = []

    def __call__(self, *args: str) -> Done:
        """Run `relay ARGS`."""
        code = 0
        argv, sys.argv = sys.argv, ["relay", *args]
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        finally:
            sys.argv = argv
        return Done(code, *self.capture.readouterr())

    async def open(self) -> Store:
        """Open the database that the commands worked on."""
        return await Store.open(f"sqlite:///{self.folder}/relay.db")
