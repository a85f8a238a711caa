"""A real relay of the tests' own: `relay serve` as a process on a free port, with its own database.

    from tests.support.server import RelayServer, Seed

The bots and keys are made once per session, through the command line, and each server starts on
a copy of that database. A server that logged a secret or a traceback fails the tests that used it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

RELAY = Path(sys.executable).parent / "relay"
START_TIMEOUT_S = 60.0
TRACE_TIMEOUT_S = 10.0
COMMANDS = """
import json, sys
from relay.cli import app
for command in json.loads(sys.argv[1]):
    app(command, standalone_mode=False)
"""
BOTS = ("ada", "ben", "cho", "dan")
KEYS = ("glasses", "others")


@dataclass(frozen=True, slots=True)
class BotSeed:
    """A bot as `relay bot add --json` made it, and the user whose questions it gets."""

    bot_id: int
    token: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A database with bots and keys in it."""

    database: Path
    bots: tuple[BotSeed, ...]
    keys: tuple[str, ...]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may be in no log."""
        return (*self.keys, *(bot.token for bot in self.bots))


def plant(folder: Path) -> Seed:
    """Make the database through the command line; a second call for a folder reads the first's."""
    kept = folder / "seed.json"
    database = folder / "seed.db"
    if not kept.exists():
        folder.mkdir(exist_ok=True)
        commands = [["bot", "add", name, "--user-id", f"user-{name}"] for name in BOTS]
        commands += [["key", "add", name] for name in KEYS]
        added = _run_commands([[*command, "--json"] for command in commands], database)
        kept.write_text(json.dumps({"bots": added[: len(BOTS)], "keys": added[len(BOTS) :]}))
    read = json.loads(kept.read_text())
    bots = tuple(BotSeed(b["bot_id"], b["sdk_token"], f"user-{b['name']}") for b in read["bots"])
    return Seed(database, bots, tuple(key["access_key"] for key in read["keys"]))


def _run_commands(commands: list[list[str]], database: Path) -> list[dict[str, Any]]:
    """Run these commands of `relay` in one interpreter: starting it is what takes long."""
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        env=environment({"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{database}"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment with these `RELAY_*` settings and no others."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return {**ours, **(settings or {})}


@dataclass(slots=True)
class RelayServer:
    """One relay. It may be stopped, killed and started again: port, database and log stay.

    With `RELAY_DATABASE_URL` among its settings it has that database, and none of its own.
    """

    seed: Seed
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()
    """More of `relay serve`."""
    secrets: list[str] = field(default_factory=list)
    """More that may be in no log: tickets, and what a test makes up."""

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cable_url(self) -> str:
        """Where bots and workers connect."""
        return f"ws://127.0.0.1:{self.port}/cable"

    @property
    def key(self) -> str:
        """The access key of the glasses."""
        return self.seed.keys[0]

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "relay.db"

    @property
    def log(self) -> str:
        """Everything that it has printed and logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- its life -----------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it listens and is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if "RELAY_DATABASE_URL" not in self.settings and not self.database.exists():
            shutil.copy(self.seed.database, self.database)
        logged = len(self.log)
        settings = {"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{self.database}", **self.settings}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [RELAY, "serve", "--port", str(self.port), *self.options],
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_for("listening", lambda: "listening on http" in self.log[logged:])
        line = self.log[logged:].split("listening on http://", 1)[1].splitlines()[0]
        self.port = int(line.rpartition(":")[2])
        self._wait_for("ready", self._is_ready)

    def _wait_for(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_so():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the relay is not {what}:\n{self.log}")
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def terminate(self, timeout: float = 15.0) -> int:
        """Send SIGTERM and wait for the end. Returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """Send SIGKILL; harmless where it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def complaints(self) -> list[str]:
        """Return what must never be in a log: secrets, and the traces of our own bugs."""
        log = self.log
        told = [f"a secret is in the log: {s[:8]}..." for s in self._secrets() if s in log]
        return told + [line for line in log.splitlines() if line.startswith("Traceback")]

    def _secrets(self) -> tuple[str, ...]:
        return (*self.seed.secrets, *self.secrets)

    # --- clients ------------------------------------------------------------------------

    def bot(self, number: int = 0) -> BotSeed:
        """One of the seeded bots."""
        return self.seed.bots[number]

    def bot_url(self, number: int = 0) -> str:
        """The address as existing SDKs make it."""
        bot = self.bot(number)
        return f"{self.cable_url}?sdk_token={bot.token}&bot_id={bot.bot_id}"

    # --- traces -------------------------------------------------------------------------

    def trace(
        self, stream_id: str, until: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """Return the trace row of a stream as the SQLite file has it, once `until` holds."""
        deadline = time.monotonic() + TRACE_TIMEOUT_S
        row: dict[str, Any] | None = None
        while time.monotonic() < deadline:
            row = self._trace(stream_id)
            if row is not None and until(row):
                return row
            time.sleep(0.02)
        raise AssertionError(f"no such trace of {stream_id}; there is {row}")

    def _trace(self, stream_id: str) -> dict[str, Any] | None:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            query = "SELECT * FROM stream_traces WHERE stream_id = ?"
            found = database.execute(query, (stream_id,)).fetchone()
        if found is None:
            return None
        row = dict(found)
        for name in ("events", "missing_sequences", "timeline", "anomaly"):
            row[name] = None if row[name] is None else json.loads(row[name])
        return row


@contextmanager
def running(seed: Seed, folder: Path, **settings: str) -> Iterator[RelayServer]:
    """Run a relay with these settings (`idle_seconds="1"`), and look at its log in the end."""
    given = {f"RELAY_{name.upper()}": value for name, value in settings.items()}
    with RelayServer(seed, folder, given) as server:
        yield server
    assert server.complaints() == []
