from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay.broker.redis.hints import CLAIMED, HINTS_MAX, REPORTED, Hints
from relay.broker.redis.keys import NODES, Keys
from relay.broker.redis.readers import Readers
from relay.broker.redis.scripts import load_scripts
from relay.broker.redis.shards import Shards, open_shards
from tests.support.redis import RedisServer, new_prefix

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10


@asynccontextmanager
async def a_node(url: str, prefix: str, node_id: str) -> AsyncIterator[tuple[Hints, Shards]]:
    """The hints of one node; it does not take any yet."""
    keys = Keys(prefix, node_id)
    shards = await open_shards(url, keys, None)
    readers = Readers(shards, keys, load_scripts(), node_id=node_id, ttl_s=60.0)
    try:
        yield Hints(shards, keys, readers, node_id=node_id), shards
    finally:
        await readers.close()
        await shards.close()


async def test_a_hint_reaches_the_node_that_it_is_for(redis_server: RedisServer) -> None:
    """By its kind; one that nobody takes is no error, nor is one that came before the start."""
    prefix = new_prefix()
    async with (
        a_node(redis_server.url, prefix, "a") as (a, _),
        a_node(redis_server.url, prefix, "b") as (b, _),
    ):
        claimed: asyncio.Queue[str] = asyncio.Queue()
        b.on(CLAIMED, claimed.put_nowait)
        a.give("b", CLAIMED, "before")
        b.start()
        a.give("b", REPORTED, "nobody takes it")
        a.give("b", CLAIMED, "嘿\ud83e")
        async with asyncio.timeout(TIMEOUT_S):
            assert [await claimed.get(), await claimed.get()] == ["before", "嘿\ud83e"]


async def test_a_node_tells_itself_nothing(redis_server: RedisServer) -> None:
    """It knows what it has done."""
    prefix = new_prefix()
    async with (
        a_node(redis_server.url, prefix, "a") as (a, _),
        a_node(redis_server.url, prefix, "b") as (b, _),
    ):
        taken: asyncio.Queue[str] = asyncio.Queue()
        a.on(CLAIMED, taken.put_nowait)
        a.start()
        a.give("a", CLAIMED, "own")
        b.give("a", CLAIMED, "other's")
        async with asyncio.timeout(TIMEOUT_S):
            assert await taken.get() == "other's"
        assert taken.empty()


async def test_hints_to_a_node_that_is_gone_are_few_and_expire(redis_server: RedisServer) -> None:
    """They are worth nothing later."""
    prefix = new_prefix()
    key = Keys(prefix, "gone").hints("gone").decode()
    async with a_node(redis_server.url, prefix, "a") as (a, shards):
        for number in range(3 * HINTS_MAX):
            a.give("gone", CLAIMED, str(number))
            await asyncio.sleep(0)
        await shards.of(NODES).calls.call("PING")
        assert int(redis_server.command("XLEN", key)[1:]) < 2 * HINTS_MAX
        assert 0 < int(redis_server.command("PTTL", key)[1:]) <= 60_000
