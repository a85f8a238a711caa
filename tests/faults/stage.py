"""The processes of one scenario: relays, Redis, PostgreSQL, bots, and the ledger that watches."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from relay.store.secrets import new_admin_token
from tests.support.pair import plant_store
from tests.support.postgres import Postgres, running_postgres
from tests.support.redis import RedisServer, running_redis
from tests.support.server import RelayServer, Seed, environment

ROOT = Path(__file__).parents[2]
SDK_TIMES = {"first_delay_s": 0.25, "delay_max_s": 15.0}
"""The SDK's own."""
CALL_S = 600.0
SLACK_S = 3.0
"""How much later than promised an end may come to the ledger: a busy machine is no broken promise.
The scenarios that are about a time measure it and show it."""
_seeds = count(1)


class Ledger:
    """The ledger's process, from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count(1)
        self._listening: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where bots connect, so that the ledger sees what they send."""
        return f"http://127.0.0.1:{self.port}"

    async def begin(self, setup: dict[str, Any]) -> None:
        """Tell it what it has to know, and learn its port."""
        self._write(setup)
        assert self._process.stdout is not None
        self.port = json.loads(await self._process.stdout.readline())["result"]
        self._listening = asyncio.create_task(self._listen())

    async def call(self, do: str, **given: Any) -> Any:
        """Let it do something, and return what came of it."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._write({"id": number, "do": do, **given})
        async with asyncio.timeout(CALL_S):
            return await answer

    async def ask(
        self, users: list[str], *, readers: int = 1, at: int = 0, **answer: Any
    ) -> list[str]:
        """Ask each user's bot for an answer of its own; returns the streams' ids."""
        questions = [{"user": user, "answer": {"seed": next(_seeds), **answer}} for user in users]
        streams: list[str] = await self.call("ask", questions=questions, readers=readers, at=at)
        return streams

    async def until(self, **given: Any) -> dict[str, Any]:
        """Wait until all have `ended`, `bots` are there, or a `share` of all or `each` is shown.

        `each` is so many chunks on every device.
        """
        progress: dict[str, Any] = await self.call("until", **given)
        return progress

    async def judge(
        self, *, slack_s: float = SLACK_S, last_kill: float = 0.0, **given: Any
    ) -> dict[str, Any]:
        """Let it judge all streams, and forget them; returns what it has found and counted."""
        verdict: dict[str, Any] = await self.call(
            "judge", slack_s=slack_s, last_kill=last_kill, **given
        )
        return verdict

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(RuntimeError(f"the ledger: {answer['error']}"))
            else:
                waiting.set_result(answer["result"])
        for waiting in self._waiting.values():
            waiting.set_exception(RuntimeError("the ledger has ended"))


@dataclass(slots=True)
class Bots:
    """A process of bots."""

    process: asyncio.subprocess.Process

    def kill(self) -> None:
        """Send SIGKILL."""
        with suppress(ProcessLookupError):
            self.process.kill()

    def stop(self, number: signal.Signals = signal.SIGSTOP) -> None:
        """Stop it, or with SIGCONT let it go on."""
        self.process.send_signal(number)


@dataclass(slots=True)
class Stage:
    """Starts what a scenario needs; all of it ends with the block, and the logs are looked at."""

    folder: Path
    relays: list[RelayServer] = field(default_factory=list)
    seed: Seed = field(default_factory=lambda: Seed(Path(), (), ()))
    admin: str = field(default_factory=new_admin_token)
    planting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Only one of all stages migrates a database at a time: Alembic keeps its state in globals."""
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    environ: dict[str, str] = field(default_factory=dict)
    """More of the environment of each relay."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.closing.aclose()
        for relay in self.relays:
            relay.kill()

    @property
    def users(self) -> list[str]:
        """The users of all bots."""
        return [bot.user_id for bot in self.seed.bots]

    def complaints(self) -> list[str]:
        """Return what must never be in a relay's log."""
        return [line for relay in self.relays for line in relay.complaints()]

    # --- servers ------------------------------------------------------------------------

    async def plant(self, bots: int, url: str | None = None) -> None:
        """Make a database with so many bots, an access key and an administrator's token."""
        database = self.folder / "seed.db"
        store_url = url or f"sqlite+aiosqlite:///{database}"
        async with self.planting:
            self.seed = await plant_store(store_url, database, bots, admin=self.admin)

    async def relay(self, *, bots: int = 4, name: str = "relay", **settings: str) -> RelayServer:
        """Start a relay; `broker_url` and the other settings without `RELAY_`."""
        if not self.seed.keys:
            await self.plant(bots, settings.get("database_url"))
        given = self.environ | {f"RELAY_{key.upper()}": value for key, value in settings.items()}
        given.setdefault("RELAY_SECRET", self.secret)
        relay = RelayServer(self.seed, self.folder / name, given, secrets=[self.admin, self.secret])
        self.relays.append(relay)
        await asyncio.to_thread(relay.start)
        return relay

    async def redis(self, *options: str) -> RedisServer:
        """Start a Redis that has each write on the disk before it answers."""
        redis = running_redis(self.folder / "redis", *options)
        return await asyncio.to_thread(self.closing.enter_context, redis)

    async def postgres(self) -> tuple[Postgres, str]:
        """Start a PostgreSQL with an empty database; returns it and the database's URL."""
        server = await asyncio.to_thread(self.closing.enter_context, running_postgres())
        await asyncio.to_thread(server.run, "createdb", "faults")
        return server, server.url("faults")

    # --- clients ------------------------------------------------------------------------

    async def ledger(self, *relays: RelayServer, seed: int = 1) -> Ledger:
        """Start the ledger before these relays, or before all."""
        process = await self._process("tests.faults.ledger")
        ledger = Ledger(process)
        ports = [relay.port for relay in relays or self.relays]
        await ledger.begin(
            {"ports": ports, "key": self.seed.keys[0], "admin": self.admin, "seed": seed}
        )
        return ledger

    async def bots(
        self,
        url: str,
        *,
        numbers: range | None = None,
        legacy: bool = False,
        times: dict[str, float] | None = None,
        limits: dict[str, float] | None = None,
    ) -> Bots:
        """Start bots that answer, all of them or these; returns when they are connected."""
        process = await self._process("tests.faults.bots")
        chosen = numbers or range(len(self.seed.bots))
        orders = {
            "url": url,
            "bots": [[self.seed.bots[n].bot_id, self.seed.bots[n].token] for n in chosen],
            "legacy": legacy,
            "times": times or SDK_TIMES,
            "limits": limits or {},
        }
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(orders).encode() + b"\n")
        async with asyncio.timeout(60):
            for _ in chosen if legacy else range(1):
                line = await process.stdout.readline()
                assert line == b"ready\n", f"the bots did not start: {line!r}"
        draining = asyncio.create_task(_drain(process.stdout))
        self.closing.callback(draining.cancel)
        return Bots(process)

    async def _process(self, module: str) -> asyncio.subprocess.Process:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "sdk_py")])
        with (self.folder / f"{module}.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                cwd=ROOT,
                env={**environment(), "PYTHONPATH": paths},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=2**26,
            )
        self.closing.push_async_callback(_end, process)
        return process


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass


async def metric(relay: RelayServer, name: str) -> float:
    """Return the sum of a metric over its labels; `name` may hold labels, as it is printed."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{relay.url}/metrics")).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith((f"{name} ", f"{name}{{"))
    )
