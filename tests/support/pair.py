"""Two real relays that share a Redis, a PostgreSQL and a secret, and what stands before them.

    from tests.support.pair import Pair, open_pair, plant_store

`Front` is the proxy in front of them: a new connection goes to the next relay that takes it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from relay.store.migrate import upgrade
from relay.store.secrets import new_access_key, new_sdk_token
from relay.store.store import Store
from tests.support.redis import RedisServer, running_redis
from tests.support.server import TRACE_TIMEOUT_S, BotSeed, RelayServer, Seed

Row = dict[str, Any]
JSON_COLUMNS = ("events", "missing_sequences", "timeline", "anomaly")


@dataclass(slots=True)
class Pair:
    """Two relays; either may be stopped, killed and started again."""

    nodes: tuple[RelayServer, RelayServer]
    redis: RedisServer
    database_url: str

    @property
    def seed(self) -> Seed:
        """The bots and keys that both know."""
        return self.nodes[0].seed

    def hide(self, secret: str) -> None:
        """Look out for one more secret in both logs."""
        for node in self.nodes:
            node.secrets.append(secret)

    async def trace(self, stream_id: str, until: Callable[[Row], bool] = lambda _: True) -> Row:
        """Return the trace row of a stream once it is written and `until` holds."""
        plain = self.database_url.replace("postgresql+asyncpg", "postgresql")
        database = await asyncpg.connect(plain)
        deadline = time.monotonic() + TRACE_TIMEOUT_S
        row: Row | None = None
        try:
            while time.monotonic() < deadline:
                query = "SELECT * FROM stream_traces WHERE stream_id = $1"
                found = await database.fetchrow(query, stream_id)
                row = None if found is None else _read_row(dict(found))
                if row is not None and until(row):
                    return row
                await asyncio.sleep(0.05)
        finally:
            await database.close()
        raise AssertionError(f"no such trace of {stream_id}; there is {row}")


def _read_row(row: Row) -> Row:
    for name in JSON_COLUMNS:
        if isinstance(row[name], str):
            row[name] = json.loads(row[name])
    return row


async def plant_store(url: str, database: Path, bots: int, *, admin: str = "") -> Seed:
    """Make so many bots, an access key, and an administrator with this token if there is one.

    `database` is the SQLite file that relays copy; with a `url` of PostgreSQL nothing lies there.
    """
    if url.startswith("postgresql"):
        await upgrade(url)
    store = await Store.open(url)
    try:
        seeds = []
        for number in range(bots):
            token = new_sdk_token()
            bot = await store.add_bot(f"bot {number}", token, user_id=f"user-{number}")
            seeds.append(BotSeed(bot.id or 0, token, f"user-{number}"))
        key = new_access_key()
        await store.add_access_key("glasses", key)
        if admin:
            await store.add_admin_token(admin)
    finally:
        await store.close()
    return Seed(database, tuple(seeds), (key,))


@asynccontextmanager
async def open_pair(
    postgres_url: str, folder: Path, *, bots: int, **settings: str
) -> AsyncIterator[Pair]:
    """Start Redis and both relays, with these settings, and look at their logs in the end."""
    seed = await plant_store(postgres_url, folder / "none", bots)
    with running_redis(folder / "redis") as redis:
        secret = secrets.token_hex(32)
        shared = {
            "RELAY_DATABASE_URL": postgres_url,
            "RELAY_BROKER_URL": redis.url,
            "RELAY_SECRET": secret,
            **{f"RELAY_{name.upper()}": value for name, value in settings.items()},
        }
        first, second = (
            RelayServer(seed, folder / name, dict(shared), secrets=[secret]) for name in "ab"
        )
        pair = Pair((first, second), redis, postgres_url)
        try:
            await asyncio.gather(*(asyncio.to_thread(node.start) for node in pair.nodes))
            yield pair
        finally:
            for node in pair.nodes:
                node.kill()
                print(f"--- {node.url}\n{node.log[-20_000:]}")  # noqa: T201 - shown on failure
    assert [complaint for node in pair.nodes for complaint in node.complaints()] == []


class Front:
    """A TCP proxy: each connection goes to the next relay in turn that takes it."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._turns = count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        """Where it is."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the aborted transports close their sockets in the next pass

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        first = next(self._turns)
        for node in (self._pair.nodes[(first + step) % 2] for step in range(2)):
            with suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", node.port)
                self._writers.append(there[1])
                for source, target in ((reader, there[1]), (there[0], writer)):
                    task = asyncio.create_task(_copy(source, target))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                return
        writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
