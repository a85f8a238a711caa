from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from relay.broker.redis.reader import BELL_LENGTH, REPLY_TIMEOUT_S, START, Reader, Record
from relay.broker.redis.shards import Endpoint
from tests.support.redis import RedisServer, new_prefix
from tests.support.wire import Wire

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10


class Taken:
    """What was delivered of one stream."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.interruptions = 0
        self._news = asyncio.Event()

    def __call__(self, records: Sequence[Record]) -> None:
        self.ids += [record.id for record in records]
        self.interruptions += not records
        self._news.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something."""
        async with asyncio.timeout(TIMEOUT_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def until_has(self, *numbers: int) -> None:
        """Wait for exactly these entries, in this order."""
        wanted = [b"%d-0" % number for number in numbers]
        await self.until(lambda: len(self.ids) >= len(wanted))
        assert self.ids == wanted


class Wakes:
    """Interrupts a reader by the stream that it reads for that."""

    def __init__(self, server: RedisServer, key: str) -> None:
        self.count = 0
        self._server = server
        self.key = key
        self.rung = Taken()

    def __call__(self) -> None:
        self.count += 1
        self._server.command("XADD", self.key, "*", "wake", "1")


@asynccontextmanager
async def a_reader(
    server: RedisServer, url: str | None = None
) -> AsyncIterator[tuple[Reader, Wakes]]:
    """A reader, and what wakes it."""
    wakes = Wakes(server, new_prefix())
    endpoint = Endpoint(url or server.url)
    reader = Reader(
        bell=wakes.key.encode(),
        rung=wakes.rung,
        connect=lambda connected: endpoint.client(
            reply_timeout_s=REPLY_TIMEOUT_S, connected=connected
        ),
        wake=wakes,
        troubled=lambda: None,
    )
    try:
        yield reader, wakes
    finally:
        await reader.close()


def add(server: RedisServer, key: str, *numbers: int) -> None:
    """Add entries with these ids."""
    for number in numbers:
        assert server.command("XADD", key, f"{number}-0", "n", str(number)) == f"{number}-0"


async def is_blocked(server: RedisServer) -> None:
    """Wait until the server has a client that blocks."""
    async with asyncio.timeout(TIMEOUT_S):
        while "blocked_clients:1" not in server.command("INFO", "clients"):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def test_one_command_reads_many_streams(own_redis: RedisServer) -> None:
    """In one connection, and it blocks while there is nothing: it does not ask again and again."""
    async with a_reader(own_redis) as (reader, _):
        taken = {f"key{number}": Taken() for number in range(100)}
        for key, take in taken.items():
            reader.follow(key.encode(), START, take)
        await is_blocked(own_redis)
        assert "connected_clients:2" in own_redis.command("INFO", "clients")
        for key, take in taken.items():
            add(own_redis, key, 1)
            await take.until_has(1)
        assert own_redis.calls("xread") <= 101


async def test_it_begins_behind_the_id_that_is_named(redis_server: RedisServer) -> None:
    """What is there already comes at once; `$` would skip it."""
    key = new_prefix()
    add(redis_server, key, 1, 2, 3)
    async with a_reader(redis_server) as (reader, _):
        taken = Taken()
        reader.follow(key.encode(), b"1-0", taken)
        await taken.until_has(2, 3)
        add(redis_server, key, 4)
        await taken.until_has(2, 3, 4)


async def test_a_stream_that_is_followed_later_interrupts_the_wait(
    own_redis: RedisServer,
) -> None:
    """It need not wait until the command that blocks is over; several at once interrupt once."""
    async with a_reader(own_redis) as (reader, wakes):
        first, later = Taken(), [Taken(), Taken()]
        reader.follow(b"first", START, first)
        await is_blocked(own_redis)
        add(own_redis, "a", 1)
        add(own_redis, "b", 1)
        reader.follow(b"a", START, later[0])
        reader.follow(b"b", START, later[1])
        async with asyncio.timeout(2):  # less than the command blocks
            for taken in later:
                await taken.until_has(1)
        assert wakes.count == 1


async def test_what_is_followed_no_more_is_not_delivered(redis_server: RedisServer) -> None:
    """Also where its entries are on their way."""
    key = new_prefix()
    async with a_reader(redis_server) as (reader, _):
        gone, stays = Taken(), Taken()
        stop = reader.follow(key.encode(), START, gone)
        reader.follow(f"{key}-2".encode(), START, stays)
        add(redis_server, key, 1)
        await gone.until_has(1)
        stop()
        stop()
        add(redis_server, key, 2)
        add(redis_server, f"{key}-2", 1)
        await stays.until_has(1)
        assert gone.ids == [b"1-0"]


async def test_a_stream_that_is_followed_again_begins_where_it_is_told(
    redis_server: RedisServer,
) -> None:
    """And stopping the first following does not stop the second."""
    key = new_prefix()
    async with a_reader(redis_server) as (reader, _):
        once, again = Taken(), Taken()
        stop = reader.follow(key.encode(), START, once)
        add(redis_server, key, 1, 2)
        await once.until(lambda: len(once.ids) == 2)
        stop()
        reader.follow(key.encode(), b"1-0", again)
        stop()
        await again.until_has(2)


async def test_a_restart_of_redis_loses_nothing(own_redis: RedisServer) -> None:
    """It goes on behind the last id, and says once that it was away."""
    async with a_reader(own_redis) as (reader, _):
        taken = Taken()
        reader.follow(b"key", START, taken)
        add(own_redis, "key", 1, 2)
        await taken.until(lambda: len(taken.ids) == 2)
        own_redis.kill()
        own_redis.start()
        add(own_redis, "key", 3)
        await taken.until(lambda: len(taken.ids) == 3)
        assert taken.ids == [b"1-0", b"2-0", b"3-0"]
        assert taken.interruptions >= 1


async def test_a_lost_reply_is_read_again(redis_server: RedisServer) -> None:
    """The entries were sent, and never came."""
    key = new_prefix()
    async with Wire(redis_server.port) as wire, a_reader(redis_server, wire.url) as (reader, _):
        taken = Taken()
        reader.follow(key.encode(), START, taken)
        add(redis_server, key, 1)
        await taken.until_has(1)
        await is_blocked(redis_server)
        wire.mute = True
        add(redis_server, key, 2)
        async with asyncio.timeout(TIMEOUT_S):
            await wire.lost.wait()
        assert taken.ids == [b"1-0"]
        wire.mute = False
        wire.cut()
        await taken.until_has(1, 2)


async def test_a_bug_in_one_reader_silences_no_other(redis_server: RedisServer) -> None:
    """What was delivered by then is delivered."""
    key = new_prefix()
    async with a_reader(redis_server) as (reader, _):
        other = Taken()

        def broken(records: Sequence[Record]) -> None:
            if records:
                raise ZeroDivisionError

        reader.follow(f"{key}-broken".encode(), START, broken)
        reader.follow(key.encode(), START, other)
        add(redis_server, f"{key}-broken", 1)
        add(redis_server, key, 1)
        await other.until(lambda: bool(other.ids))
        add(redis_server, key, 2)
        await other.until_has(1, 2)


async def test_a_reader_can_be_closed_at_any_moment(redis_server: RedisServer) -> None:
    """While it connects, too: redis-py loses a cancellation then."""
    for turns in range(20):
        async with asyncio.timeout(TIMEOUT_S), a_reader(redis_server) as (reader, _):
            reader.follow(b"key", START, Taken())
            for _ in range(turns):
                await asyncio.sleep(0)


async def test_a_bell_is_heard_from_its_beginning(redis_server: RedisServer) -> None:
    """Also where nothing else is followed; a connection that was lost begins it anew.

    By the clock of the server that goes on with it, what is added may be older than what was read.
    """
    async with Wire(redis_server.port) as wire, a_reader(redis_server, wire.url) as (_, wakes):
        add(redis_server, wakes.key, 1, 9)
        await wakes.rung.until_has(1, 9)
        wire.mute = True
        redis_server.command("DEL", wakes.key)
        add(redis_server, wakes.key, 5)
        wire.cut()
        wire.mute = False
        await wakes.rung.until_has(1, 9, 5)
        assert wakes.rung.interruptions == 1


async def test_a_bell_that_is_full_may_lack_some(redis_server: RedisServer) -> None:
    """It keeps the newest only, so its reader is told that some may be lost, and goes on."""
    async with Wire(redis_server.port) as wire, a_reader(redis_server, wire.url) as (_, wakes):
        wire.cut()
        for number in range(1, BELL_LENGTH + 1):
            add(redis_server, wakes.key, number)
        await wakes.rung.until(lambda: wakes.rung.interruptions > 0)
        add(redis_server, wakes.key, BELL_LENGTH + 1)
        await wakes.rung.until(lambda: b"%d-0" % (BELL_LENGTH + 1) in wakes.rung.ids)
