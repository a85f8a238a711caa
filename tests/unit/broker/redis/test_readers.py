from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest

from relay.broker.redis.keys import Keys, bucket_of_stream
from relay.broker.redis.reader import START, Record
from relay.broker.redis.readers import Joined, Readers
from relay.broker.redis.scripts import load_scripts
from relay.broker.redis.shards import Shards, open_shards
from tests.support.redis import RedisServer, new_prefix

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10
TTL_S = 60.0
STREAMS = [f"stream{number}" for number in range(12)]


@asynccontextmanager
async def some_readers(url: str) -> AsyncIterator[tuple[Readers, Shards, Keys]]:
    """The readers of one node."""
    keys = Keys(new_prefix(), "here")
    shards = await open_shards(url, keys, None)
    readers = Readers(shards, keys, load_scripts(), node_id="here", ttl_s=TTL_S)
    try:
        yield readers, shards, keys
    finally:
        await readers.close()
        await shards.close()


async def read_all(readers: Readers, shards: Shards, keys: Keys) -> None:
    """Follow streams in many buckets one after another, and get what is added to each."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def take(records: Sequence[Record]) -> None:
        for record in records:
            queue.put_nowait(record.id)

    for number, name in enumerate(STREAMS, start=1):
        bucket = bucket_of_stream(name)
        readers.follow(bucket, keys.log(name), START, take)
        calls = shards.of(bucket).calls
        await calls.call("XADD", keys.log(name), f"{number}-0", "n", number)
        async with asyncio.timeout(TIMEOUT_S):
            assert await queue.get() == b"%d-0" % number


async def test_one_redis_is_read_over_one_connection(own_redis: RedisServer) -> None:
    """Whatever the bucket. The other connections: ours, and the one that writes."""
    async with some_readers(own_redis.url) as (readers, shards, keys):
        await read_all(readers, shards, keys)
        assert "connected_clients:3" in own_redis.command("INFO", "clients")


async def test_a_cluster_is_read_in_every_slot(redis_cluster: list[RedisServer]) -> None:
    """A command there may name keys of one slot only."""
    async with some_readers(redis_cluster[0].url) as (readers, shards, keys):
        await read_all(readers, shards, keys)


async def test_what_wakes_a_reader_does_not_stay(redis_server: RedisServer) -> None:
    """A node that is gone leaves nothing behind."""
    async with some_readers(redis_server.url) as (readers, shards, keys):
        await read_all(readers, shards, keys)
        bell = keys.bell(0).decode()
        async with asyncio.timeout(TIMEOUT_S):
            for number in count():
                # A reader that does not block just then need not be woken.
                readers.follow(0, b"%d" % number, START, lambda records: None)
                await asyncio.sleep(0.01)
                if redis_server.command("EXISTS", bell) == ":1":
                    break
        await shards.of(0).calls.call("PING")
        assert 0 < int(redis_server.command("PTTL", bell)[1:]) <= 60_000


async def test_who_has_joined_hears_of_every_append(redis_server: RedisServer) -> None:
    """From the offset on that the answer names; once, however often it joins."""
    async with some_readers(redis_server.url) as (readers, _, keys):
        rung: asyncio.Queue[dict[bytes, bytes]] = asyncio.Queue()

        def ring(_: int, records: Sequence[Record]) -> None:
            for record in records:
                rung.put_nowait(record.fields)

        readers.on_ring(ring)
        readers.listen(bucket_of_stream("s"))
        meta = keys.meta("s").decode()
        assert await readers.join("s") is None
        redis_server.command("HSET", meta, "epoch", "e", "readers", "other")
        redis_server.command("XADD", keys.log("s").decode(), "1-0", "n", "1")
        for _ in range(2):
            assert await readers.join("s") == Joined(b"e", 1)
        assert redis_server.command("HGET", meta, "readers") == "other here"
        bell = readers.bell("s").decode()
        assert 0 < int(redis_server.command("PTTL", bell)[1:]) <= TTL_S * 1000
        redis_server.command("XADD", bell, "*", "stream", "s")
        async with asyncio.timeout(TIMEOUT_S):
            while b"stream" not in await rung.get():
                pass
        await readers.leave("s")
        assert redis_server.command("HGET", meta, "readers") == "other"
        assert readers.bells("s", ["here", "other"]) == [keys.bell(0, "other")]


async def test_leaving_a_log_that_is_gone_makes_none(redis_server: RedisServer) -> None:
    """Or a hash would stay that never expires."""
    async with some_readers(redis_server.url) as (readers, _, keys):
        await readers.leave("gone")
        assert redis_server.command("EXISTS", keys.meta("gone").decode()) == ":0"
