from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from relay.admin.traces import TraceSummary
from relay.cli import tail
from relay.errors import StoreError
from relay.store.store import Store
from relay.store.trace_tail import TraceTail
from tests.support.command_line import Relay
from tests.support.server import environment
from tests.support.store import trace_row

RELAY = Path(sys.executable).parent / "relay"


def write(folder: Path, *numbers: int, **changes: object) -> None:
    """Write traces into the database of this folder."""

    async def work() -> None:
        store = await Store.open(f"sqlite:///{folder}/relay.db")
        await store.write_traces([trace_row(number, **changes) for number in numbers])
        await store.close()

    asyncio.run(work())


@contextmanager
def tailing(folder: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Run `relay trace tail ARGS` in this folder, and end it in any case."""
    process = subprocess.Popen(
        [RELAY, "trace", "tail", *args],
        cwd=folder,
        env=environment({"PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str]) -> str:
    """The next line; waits for it."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_traces_are_told_as_they_are_written(tmp_path: Path, number: signal.Signals) -> None:
    """The newest first of all, then each new one, until somebody says that it is enough."""
    write(tmp_path, 1, 2, 3)
    with tailing(tmp_path, "-n", "2") as process:
        assert read(process).split()[:2] == ["asked", "trace"]
        assert [read(process).split()[1] for _ in range(2)] == ["trace-2", "trace-3"]
        write(tmp_path, 4)
        assert read(process).split()[1:4] == ["trace-4", "1", "anomaly"]
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_traces_are_told_to_programs(tmp_path: Path) -> None:
    """One object a line, and nothing else; only what is wanted."""
    write(tmp_path, 1, status="completed")
    with tailing(tmp_path, "--json", "--status", "completed") as process:
        assert json.loads(read(process))["trace_id"] == "trace-1"
        write(tmp_path, 2, status="anomaly")
        write(tmp_path, 3, status="completed")
        told = json.loads(read(process))
        assert (told["trace_id"], told["status"]) == ("trace-3", "completed")


def test_a_reader_that_has_seen_enough_ends_it(tmp_path: Path) -> None:
    """As `head` does, also where nothing more is written, and without a word."""
    write(tmp_path, 1)
    with tailing(tmp_path) as process:
        read(process)
        read(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """It is said once, and what was written meanwhile comes when it is back."""

    def execute(statement: str) -> None:
        database = sqlite3.connect(tmp_path / "relay.db")
        with database:
            database.execute(statement)
        database.close()

    write(tmp_path, 1)
    with tailing(tmp_path) as process:
        read(process)
        read(process)
        execute("ALTER TABLE stream_traces RENAME TO away")
        assert process.stderr is not None
        assert "no such table" in process.stderr.readline()
        execute("ALTER TABLE away RENAME TO stream_traces")
        write(tmp_path, 2)
        assert read(process).split()[1] == "trace-2"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10)[1] == ""


class Shaky:
    """A tail whose database fails twice, is there, and fails once more."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.errors = [StoreError("away"), StoreError("away"), None, StoreError("gone"), None]
        self.stop = stop

    async def more(self) -> list[TraceSummary]:
        error = self.errors.pop(0)
        if not self.errors:
            self.stop.set()
        if error is not None:
            raise error
        return []


async def test_what_is_away_is_told_once_each_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not with every look."""
    monkeypatch.setattr(tail, "EVERY_S", 0.0)
    stop = asyncio.Event()
    await tail._follow(cast("TraceTail", Shaky(stop)), stop, json=False)  # noqa: SLF001
    assert capsys.readouterr().err.splitlines() == [
        "relay: away; waiting for it",
        "relay: gone; waiting for it",
    ]


def test_a_database_that_cannot_be_opened_is_an_error(relay: Relay) -> None:
    """At the beginning, nothing is waited for."""
    done = relay("trace", "tail", "--database", "sqlite:///none/relay.db")
    assert done.code == 1
    assert done.err.startswith("relay: ")
