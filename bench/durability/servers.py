"""Processes that are killed and started again: a relay, a Redis, a PostgreSQL.

Each keeps its data and its address. A kill is SIGKILL: nothing is said and nothing is written any
more, but what was handed to the kernel stays. The power stays on.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

START_S: Final = 30.0

RUN: Final = "from relay.cli import main; main()"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Killable:
    """A process that can be killed."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """Kill it and all that it has started. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


class RelayServer(Killable):
    """`relay serve` with one database on one port."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__()
        self._log = folder / "relay.log"
        self._port = free_port()
        foreign = {name: v for name, v in os.environ.items() if not name.startswith("RELAY_")}
        own = {"RELAY_HOST": "127.0.0.1", "RELAY_PORT": str(self._port)}
        self._environment = {**foreign, **own, **settings}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it; returns once it listens."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", RUN, "serve",
                env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await self._process.stdout.readline()
        if b"listening on" not in line:
            raise RuntimeError(f"the relay did not start: {self._log.read_text()[-2000:]}")


class RedisServer(Killable):
    """A redis-server with its data in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__()
        self.folder = folder
        self.port = free_port()
        self._options = options

    async def start(self, *more: str) -> None:
        """Start it with the data that it left; returns once it answers."""
        self.folder.mkdir(exist_ok=True)
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("bench.durability: redis-server is not installed")
        self._process = await asyncio.create_subprocess_exec(
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--save", "", *self._options, *more,
            stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        async with asyncio.timeout(START_S):
            while not await self._answers():  # noqa: ASYNC110 - it says so in no other way
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            await self.command("PING")
        except (RedisError, OSError):
            return False
        return True

    async def command(self, *words: str) -> object:
        """Run one command."""
        async with Redis(host="127.0.0.1", port=self.port) as client:
            answer: object = await client.execute_command(*words)  # type: ignore[no-untyped-call]
            return answer

    async def info(self, name: str) -> str:
        """Return one line of INFO."""
        async with Redis(host="127.0.0.1", port=self.port) as client:
            return str((await client.info("all")).get(name))

    def forget(self) -> None:
        """Remove its data; only while it does not run."""
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresServer(Killable):
    """A PostgreSQL on a Unix socket. It does not run as root, so `folder` is given to its user."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._user = "postgres" if os.geteuid() == 0 else None
        found = shutil.which("initdb")
        if found is None:
            raise SystemExit("bench.durability: PostgreSQL is not installed")
        self._programs = Path(found).resolve().parent
        self.url = f"postgresql+asyncpg://relay@/postgres?host={folder}"

    async def make(self) -> None:
        """Make an empty database."""
        self._folder.mkdir()
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        process = await self._run(
            "initdb", "-D", f"{self._folder}/data", "-U", "relay", "-A", "trust", "-E", "UTF8"
        )
        if await process.wait():
            raise RuntimeError("initdb failed")

    async def start(self) -> None:
        """Start it with the data that it left; returns once its socket is there."""
        there = self._folder / ".s.PGSQL.5432"
        there.unlink(missing_ok=True)
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self._process = await self._run(
            "postgres", "-D", f"{self._folder}/data", "-k", str(self._folder), "-c",
            "listen_addresses=",
        )  # fmt: skip
        async with asyncio.timeout(START_S):
            while not there.exists():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)

    async def _run(self, program: str, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(self._programs / program), *words,
            user=self._user, cwd="/", env={"LC_ALL": "C"}, start_new_session=True,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
