from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count

import pytest

from relay.broker.base import ReadReport
from relay.broker.redis import RedisOptions, open_redis
from relay.broker.redis.keys import NODES, Keys
from relay.broker.redis.scripts import load_scripts
from relay.errors import BrokerUnavailable
from tests.support.node import META
from tests.support.redis import RedisServer, new_prefix, options
from tests.support.wire import Wire

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that takes a moment."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await is_so():  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.01)


async def test_nothing_is_left_of_a_node_once_its_streams_are_taken(
    redis_server: RedisServer,
) -> None:
    """Each start of a process is another node, so what each leaves behind must go."""
    chosen = options()
    async with open_redis(redis_server.url, chosen) as alive:
        async with open_redis(redis_server.url, chosen) as ending:
            gone = ending.nodes.node_id
            for number in range(5):
                await ending.log.create(replace(META, stream_id=f"s{number}"))
            await ending.nodes.leave()
        taken = [*await alive.nodes.orphans(3), *await alive.nodes.orphans(3)]
        assert sorted(taken) == [f"s{number}" for number in range(5)]
        names = Keys(chosen.prefix, gone)
        nodes = names.nodes().decode()
        assert redis_server.command("HEXISTS", nodes, gone) == ":0"
        assert redis_server.command("EXISTS", names.owned(gone).decode()) == ":0"
        assert await alive.nodes.orphans(3) == []


async def test_a_node_that_lives_is_robbed_of_nothing(redis_server: RedisServer) -> None:
    """It gave a sign of life between the look at the nodes and the taking."""
    chosen = options()
    async with (
        open_redis(redis_server.url, chosen) as here,
        open_redis(redis_server.url, chosen) as there,
    ):
        await there.log.create(META)
        names = Keys(chosen.prefix, here.nodes.node_id)
        other = there.nodes.node_id
        keys = (names.nodes(), names.owned(other), names.owned(here.nodes.node_id))
        calls = here.shards.of(NODES).calls
        assert await calls.run(load_scripts().adopt, keys, (other, 10)) == []
        await there.nodes.leave()
        taken = await calls.run(load_scripts().adopt, keys, (other, 10))
        assert taken == [META.stream_id.encode()]


async def test_a_node_that_was_only_slow_is_alive_again(redis_server: RedisServer) -> None:
    """It gave no sign of life for too long, and then does: its new streams are its own."""
    chosen = RedisOptions(prefix=new_prefix(), node_ttl_s=0.3)
    async with (
        Wire(redis_server.port) as wire,
        open_redis(wire.url, chosen) as slow,
        open_redis(redis_server.url, chosen) as other,
    ):
        await slow.log.create(META)
        wire.kill()
        taken: list[str] = []

        async def is_taken() -> bool:
            taken.extend(await other.nodes.orphans(3))
            return bool(taken)

        await until(is_taken)
        wire.down = False

        names = (f"new {number}" for number in count())

        async def is_back() -> bool:
            try:
                # Another each time: of one that failed, the log may have been made.
                await slow.log.create(replace(META, stream_id=next(names)))
            except BrokerUnavailable:
                return False
            return True

        await until(is_back)
        await slow.nodes.start()
        assert await other.nodes.orphans(3) == []


async def test_a_bots_list_of_streams_forgets_what_is_over(redis_server: RedisServer) -> None:
    """What has ended is taken out when it is found, and what expires goes by itself."""
    chosen = RedisOptions(prefix=new_prefix(), stream_ttl_s=1_000.0)
    key = Keys(chosen.prefix, "").streams(1).decode()
    async with open_redis(redis_server.url, chosen) as broker:
        for name in ("one", "two"):
            await broker.log.create(replace(META, stream_id=name))
        await broker.log.drop("one")
        assert await broker.nodes.streams_of(1) == ["two"]
        assert await broker.nodes.streams_of(1) == ["two"]
        assert redis_server.command("ZCARD", key) == ":1"
        assert 0 < int(redis_server.command("PTTL", key)[1:]) <= 1_000_000
        redis_server.command("ZADD", key, "1", "expired")
        await broker.log.create(replace(META, stream_id="three"))
        assert redis_server.command("ZCARD", key) == ":2"


async def test_a_report_on_a_stream_that_is_gone_is_not_kept(redis_server: RedisServer) -> None:
    """Nobody would ever drop it."""
    chosen = options()
    async with open_redis(redis_server.url, chosen) as broker:
        report = ReadReport(
            broker.nodes.node_id, 1, can_resume=True, read_to_end=False, delivered_at=()
        )
        await broker.nodes.report("gone", report)
        assert await broker.nodes.reports("gone") == ()
        await broker.log.create(META)
        await broker.nodes.report(META.stream_id, report)
        assert await broker.nodes.reports(META.stream_id) == [report]
        await broker.log.drop(META.stream_id)
        assert await broker.nodes.reports(META.stream_id) == ()


async def test_signs_of_life_go_on_after_redis_was_away(own_redis: RedisServer) -> None:
    """A restart of Redis makes no orphans of what lives."""
    chosen = RedisOptions(prefix=new_prefix(), node_ttl_s=0.3)
    key = Keys(chosen.prefix, "").nodes().decode()
    async with open_redis(own_redis.url, chosen) as broker:
        own_redis.command("FLUSHALL")
        own_redis.kill()
        own_redis.start()

        async def is_known() -> bool:
            return own_redis.command("HEXISTS", key, broker.nodes.node_id) == ":1"

        await until(is_known)


async def test_a_stream_whose_log_is_gone_is_no_orphan(redis_server: RedisServer) -> None:
    """There is nothing to take care of."""
    chosen = options()
    async with open_redis(redis_server.url, chosen) as alive:
        async with open_redis(redis_server.url, chosen) as ending:
            await ending.log.create(META)
            redis_server.command("DEL", Keys(chosen.prefix, "").meta(META.stream_id).decode())
            await ending.nodes.leave()
        assert await alive.nodes.orphans(3) == []


async def test_after_redis_was_away_others_are_given_time(own_redis: RedisServer) -> None:
    """All were silent for too long. Who is the first to come back must not take everything."""
    chosen = RedisOptions(prefix=new_prefix(), node_ttl_s=1.0)
    nodes = Keys(chosen.prefix, "").nodes().decode()
    async with (
        Wire(own_redis.port) as wire,
        open_redis(wire.url, chosen) as slow,
        open_redis(own_redis.url, chosen) as quick,
    ):
        await slow.log.create(META)
        own_redis.kill()
        wire.down = True
        await asyncio.sleep(1.2)  # so that both count as gone
        own_redis.start()
        before = own_redis.command("HGET", nodes, quick.nodes.node_id)

        async def has_come_back() -> bool:
            return own_redis.command("HGET", nodes, quick.nodes.node_id) != before

        await until(has_come_back)
        assert await quick.nodes.orphans(3) == []
        taken: list[str] = []

        async def is_taken() -> bool:
            taken.extend(await quick.nodes.orphans(3))
            return taken == [META.stream_id]

        await until(is_taken)
