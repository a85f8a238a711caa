"""The scenes: which processes there are, and which of them is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from bench.__main__ import QUIET
from bench.door import Door
from bench.durability.play import PAIRS, Break, Stage
from bench.durability.servers import START_S, PostgresServer, RedisServer, RelayServer
from relay.store.migrate import upgrade
from relay.store.secrets import new_access_key, new_sdk_token
from relay.store.store import Store

SETTINGS: Final[Mapping[str, str]] = {
    **QUIET,
    "RELAY_DEVICE_GRACE_SECONDS": "5",
    "RELAY_SECRET": "the secret of a benchmark, not of anybody",
}
"""So that a trace is settled soon, and one secret for every start."""

DOWN_S: Final = (0.05, 0.5)
"""How long something is away."""

CUT_S: Final = (0.2, 0.8)
"""For how long before the kill a replica hears nothing of its primary."""

WITHOUT_AOF: Final = ("--appendonly", "no", "--repl-diskless-sync-delay", "0")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is there and what is killed."""

    title: str
    durability: str
    """What the relay calls it, in `connected`."""
    kills: str
    """`relay`, `redis`, `both`, `failover`, `failover cut` or `postgres`."""
    redis: tuple[str, ...] | None = None
    """Options of its Redis; None is the memory broker."""
    postgres: bool = False
    settings: tuple[tuple[str, str], ...] = ()


_WAIT: Final = (("RELAY_REDIS_WAIT_REPLICAS", "1"),)
_EVERYSEC: Final = ("--appendonly", "yes", "--appendfsync", "everysec")
_ALWAYS: Final = ("--appendonly", "yes", "--appendfsync", "always")

SCENES: Final[Mapping[str, Scene]] = {
    "memory": Scene("relay, memory broker", "memory", "relay"),
    "memory-postgres": Scene(
        "relay, memory broker, traces in PostgreSQL", "memory", "relay", postgres=True
    ),
    "postgres": Scene("PostgreSQL, memory broker", "memory", "postgres", postgres=True),
    "redis-relay": Scene("relay, Redis with `everysec`", "redis", "relay", _EVERYSEC),
    "redis-none": Scene("Redis without append-only file", "redis", "redis", WITHOUT_AOF),
    "redis-everysec": Scene("Redis, `appendfsync everysec`", "redis", "redis", _EVERYSEC),
    "redis-always": Scene("Redis, `appendfsync always`", "redis", "redis", _ALWAYS),
    "redis-both": Scene("relay and Redis at once, `everysec`", "redis", "both", _EVERYSEC),
    "failover": Scene("primary, replica in step takes over", "redis", "failover", WITHOUT_AOF),
    "failover-cut": Scene(
        "primary, replica cut off 0.2 to 0.8 s before takes over",
        "redis",
        "failover cut",
        WITHOUT_AOF,
    ),
    "wait": Scene(
        "the same in step, with `WAIT` for one replica",
        "redis+wait",
        "failover",
        WITHOUT_AOF,
        settings=_WAIT,
    ),
    "wait-cut": Scene(
        "the same cut off, with `WAIT` for one replica",
        "redis+wait",
        "failover cut",
        WITHOUT_AOF,
        settings=_WAIT,
    ),
}


@asynccontextmanager
async def on_stage(scene: Scene, folder: Path, rng: Random) -> AsyncIterator[tuple[Stage, Break]]:
    """Start all that a scene has; yields it, and what kills and brings back."""
    async with AsyncExitStack() as stack:
        database = f"sqlite+aiosqlite:///{folder / 'relay.db'}"
        postgres: PostgresServer | None = None
        if scene.postgres:
            postgres = PostgresServer(folder / "pg")
            await postgres.make()
            stack.push_async_callback(postgres.kill)
            await postgres.start()
            database = postgres.url
            await upgrade(database)
        broker: Redises | None = None
        settings = {**SETTINGS, **dict(scene.settings), "RELAY_DATABASE_URL": database}
        if scene.redis is not None:
            broker = Redises(folder, scene.redis, replica=scene.kills.startswith("failover"))
            await stack.enter_async_context(broker.running())
            settings["RELAY_BROKER_URL"] = broker.url
        store = await Store.open(database)
        stack.push_async_callback(store.close)
        stage = await _people(store)
        relay = RelayServer(folder, settings)
        stack.push_async_callback(relay.kill)
        await relay.start()
        stage = replace(stage, url=relay.url)
        if broker is not None:
            stage = replace(stage, redis_port=broker.primary_port)
        yield stage, _breaking(scene, relay, broker, postgres, rng)


async def _people(store: Store) -> Stage:
    tokens = tuple(new_sdk_token() for _ in range(2 * PAIRS))
    users = tuple(f"user-{number}" for number in range(2 * PAIRS))
    for token, user in zip(tokens, users, strict=True):
        await store.add_bot(f"bot of {user}", token, user_id=user)
    key = new_access_key()
    await store.add_access_key("durability", key)
    return Stage("", key, tokens, users, store)


def _breaking(
    scene: Scene,
    relay: RelayServer,
    broker: Redises | None,
    postgres: PostgresServer | None,
    rng: Random,
) -> Break:
    async def break_it(freeze: Callable[[], None]) -> None:
        killed: list[RelayServer | RedisServer | PostgresServer] = []
        if scene.kills in ("relay", "both"):
            killed.append(relay)
        if scene.kills in ("redis", "both"):
            assert broker is not None
            killed.append(broker.primary)
        if scene.kills == "postgres":
            assert postgres is not None
            killed.append(postgres)
        if not killed:
            assert broker is not None
            await broker.fail_over(rng, freeze, cut=scene.kills == "failover cut")
            return
        await asyncio.gather(*(server.kill() for server in killed))
        await asyncio.sleep(rng.uniform(*DOWN_S))
        freeze()
        for server in reversed(killed):  # a relay starts only where its Redis answers
            await server.start()

    return break_it


class Redises:
    """A Redis, and where asked for its replica: the relay knows them by one address."""

    def __init__(self, folder: Path, options: tuple[str, ...], *, replica: bool) -> None:
        self.primary = RedisServer(folder / "redis-a", *options)
        self._replica = RedisServer(folder / "redis-b", *options) if replica else None
        self._front = Door(self.primary.port)
        """What a virtual address or a proxy is: it leads to whoever is the primary."""
        self._link = Door(self.primary.port)
        """The replica's way to its primary."""

    @property
    def url(self) -> str:
        """What the relay is given."""
        port = self.primary.port if self._replica is None else self._front.port
        return f"redis://127.0.0.1:{port}"

    def primary_port(self) -> int:
        """Where the primary of this moment listens."""
        return self.primary.port

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run them for the length of the block."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._kill)
            await self.primary.start()
            if self._replica is not None:
                await stack.enter_async_context(self._front)
                await stack.enter_async_context(self._link)
                await self._follow(self._replica)
            yield

    async def _kill(self) -> None:
        await self.primary.kill()
        if self._replica is not None:
            await self._replica.kill()

    async def fail_over(self, rng: Random, freeze: Callable[[], None], *, cut: bool) -> None:
        """Kill the primary and promote the replica; what was the primary follows it, empty."""
        assert self._replica is not None
        if cut:
            self._link.hold()
            await asyncio.sleep(rng.uniform(*CUT_S))
            self._link.cut()
        await self.primary.kill()
        await asyncio.sleep(rng.uniform(*DOWN_S))
        freeze()
        await self._replica.command("REPLICAOF", "NO", "ONE")
        self.primary, self._replica = self._replica, self.primary
        self._front.there = self._link.there = self.primary.port
        self._front.cut()
        self._link.cut()
        self._link.release()
        await self._follow(self._replica)

    async def _follow(self, replica: RedisServer) -> None:
        replica.forget()
        await replica.start("--replicaof", "127.0.0.1", str(self._link.port))
        async with asyncio.timeout(START_S):
            # Redis says so in no other way.
            while "online" not in await self.primary.info("slave0"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
