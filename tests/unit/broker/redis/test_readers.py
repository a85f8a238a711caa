from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest

from relay.broker.redis.keys import Keys, bucket_of_stream
from relay.broker.redis.reader import START, Record
from relay.broker.redis.readers import Readers
from relay.broker.redis.shards import Shards, open_shards
from tests.support.redis import RedisServer, new_prefix

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10
STREAMS = [f"stream{number}" for number in range(12)]


@asynccontextmanager
async def some_readers(url: str) -> AsyncIterator[tuple[Readers, Shards, Keys]]:
    """The readers of one node."""
    keys = Keys(new_prefix(), "here")
    shards = await open_shards(url, keys, None)
    readers = Readers(shards, keys)
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
        wake = keys.wake(0).decode()
        async with asyncio.timeout(TIMEOUT_S):
            for number in count():
                # A reader that does not block just then need not be woken.
                readers.follow(0, b"%d" % number, START, lambda records: None)
                await asyncio.sleep(0.01)
                if redis_server.command("EXISTS", wake) == ":1":
                    break
        await shards.of(0).calls.call("PING")
        assert 0 < int(redis_server.command("PTTL", wake)[1:]) <= 60_000
        assert redis_server.command("XLEN", wake) == ":1"
