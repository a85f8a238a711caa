from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from relay.broker.redis import RedisBroker, RedisOptions, open_redis
from relay.broker.redis.keys import Keys, bucket_of_stream
from relay.broker.redis.pipe import Confirmation
from relay.errors import BrokerUnavailable, Fenced, UnknownStream
from relay.protocol.events import Entry, EntryKind, HeldChunk
from tests.support.node import META, NOW
from tests.support.redis import RedisServer, new_prefix, options
from tests.support.wire import Wire

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10
STREAM = META.stream_id


def chunk(offset: int, content: str = "a") -> Entry:
    """A chunk's entry."""
    return Entry(offset, EntryKind.CHUNK, NOW, content, offset - 1)


def keys(prefix: str) -> list[str]:
    """The keys of the stream of these tests."""
    names = Keys(prefix, "")
    return [name(STREAM).decode() for name in (names.meta, names.log, names.held)]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that takes a moment."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await is_so():  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.01)


async def read(broker: RedisBroker, after: int = 0) -> Sequence[Entry]:
    """Read the stream of these tests."""
    return await broker.log.read(STREAM, after, 100)


async def test_an_append_whose_reply_is_lost_is_stored_once(redis_server: RedisServer) -> None:
    """Its owner is told that nobody knows, and the next one finds it, and goes on behind it."""
    chosen = options()
    async with Wire(redis_server.port) as wire, open_redis(wire.url, chosen) as broker:
        made = await broker.log.create(META)
        # So that the server knows the script, and does it at once.
        await broker.log.append(STREAM, made.fence, 1, [], [])
        wire.mute = True
        lost = asyncio.ensure_future(
            broker.log.append(STREAM, made.fence, 1, [chunk(1)], [HeldChunk(5, "e", NOW)])
        )

        async def is_written() -> bool:
            return redis_server.command("XLEN", keys(chosen.prefix)[1]) == ":1"

        await until(is_written)
        wire.cut()
        with pytest.raises(BrokerUnavailable):
            await lost
        wire.mute = False
        claimed = await broker.log.claim(STREAM)
        assert (claimed.fence, claimed.entries) == (made.fence + 1, (chunk(1),))
        assert claimed.held == (HeldChunk(5, "e", NOW),)
        await broker.log.append(STREAM, claimed.fence, 2, [chunk(2)], [])
        assert list(await read(broker)) == [chunk(1), chunk(2)]


async def test_an_append_that_was_refused_too_late_still_wakes_its_readers(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No replica confirms it, and yet it is stored. Who reads beside its writer hears no bell."""
    async with open_redis(redis_server.url, options()) as broker:
        made = await broker.log.create(META)
        woken = asyncio.Event()
        broker.log.watch(STREAM, woken.set)
        writes = broker.shards.of(bucket_of_stream(STREAM)).writes
        monkeypatch.setattr(writes, "_confirmation", Confirmation(1, 0.02))
        with pytest.raises(BrokerUnavailable, match="replicas"):
            await broker.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        async with asyncio.timeout(TIMEOUT_S):
            while list(await read(broker)) != [chunk(1)]:
                await woken.wait()
                woken.clear()


async def test_a_write_that_comes_late_is_void(own_redis: RedisServer) -> None:
    """The server was stopped and the write given up; when it goes on, a successor has claimed."""
    chosen = options()
    async with (
        open_redis(own_redis.url, chosen) as old,
        open_redis(own_redis.url, chosen) as new,
    ):
        made = await old.log.create(META)
        claimed = await new.log.claim(STREAM)
        with own_redis.paused():
            late = asyncio.ensure_future(old.log.append(STREAM, made.fence, 1, [chunk(1)], []))
            mine = asyncio.ensure_future(
                new.log.append(STREAM, claimed.fence, 1, [chunk(1, "new")], [])
            )
            done, _ = await asyncio.wait({late, mine}, timeout=0.3)
            assert not done
        await mine
        with pytest.raises(Fenced):
            await late
        assert list(await read(new)) == [chunk(1, "new")]


async def test_what_was_acknowledged_survives_the_end_of_redis(own_redis: RedisServer) -> None:
    """It is killed; entries, held chunks and the fence are there again."""
    async with open_redis(own_redis.url, options()) as broker:
        made = await broker.log.create(META)
        await broker.log.append(STREAM, made.fence, 1, [chunk(1)], [HeldChunk(3, "h", NOW)])
        own_redis.kill()
        with pytest.raises(BrokerUnavailable):
            await broker.log.append(STREAM, made.fence, 2, [chunk(2)], [])
        own_redis.start()
        claimed = await broker.log.claim(STREAM)
        assert (claimed.fence, claimed.epoch) == (made.fence + 1, made.epoch)
        assert (claimed.entries, claimed.held) == ((chunk(1),), (HeldChunk(3, "h", NOW),))


async def test_a_read_waits_for_redis_to_come_back(own_redis: RedisServer) -> None:
    """A device's stream is not ended by a restart."""
    async with open_redis(own_redis.url, options()) as broker:
        made = await broker.log.create(META)
        await broker.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        own_redis.kill()
        reading = asyncio.ensure_future(read(broker))
        done, _ = await asyncio.wait({reading}, timeout=0.3)
        assert not done
        own_redis.start()
        assert list(await reading) == [chunk(1)]


async def test_a_reader_on_another_node_outlives_a_restart(own_redis: RedisServer) -> None:
    """It blocks while Redis is killed, and is woken by what is appended afterwards."""
    chosen = options()
    async with (
        open_redis(own_redis.url, chosen) as here,
        open_redis(own_redis.url, chosen) as there,
    ):
        made = await here.log.create(META)
        await there.log.describe(STREAM)
        woken = asyncio.Event()
        there.log.watch(STREAM, woken.set)
        await here.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        await asyncio.wait_for(woken.wait(), TIMEOUT_S)
        own_redis.kill()
        own_redis.start()
        with pytest.raises(BrokerUnavailable):
            await here.log.claim(STREAM)
        claimed = await here.log.claim(STREAM)
        await here.log.append(STREAM, claimed.fence, 2, [chunk(2)], [])

        async def has_both() -> bool:
            woken.clear()
            found = list(await read(there))
            if found != [chunk(1), chunk(2)]:
                await asyncio.wait_for(woken.wait(), TIMEOUT_S)
            return found == [chunk(1), chunk(2)]

        await until(has_both)


async def test_a_redis_that_has_lost_everything_wakes_its_readers(own_redis: RedisServer) -> None:
    """They find out that there is no such log; nobody waits for ever."""
    async with open_redis(own_redis.url, options()) as broker:
        made = await broker.log.create(META)
        woken = asyncio.Event()
        broker.log.watch(STREAM, woken.set)
        await broker.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        woken.clear()
        own_redis.command("FLUSHALL")
        own_redis.kill()
        own_redis.start()
        await asyncio.wait_for(woken.wait(), TIMEOUT_S)
        with pytest.raises(UnknownStream):
            await read(broker)
        with pytest.raises(UnknownStream):
            await broker.log.append(STREAM, made.fence, 2, [chunk(2)], [])


async def test_every_key_of_a_stream_expires(redis_server: RedisServer) -> None:
    """A write that makes one, and a claim, put that off for all; at last the stream is unknown."""
    chosen = RedisOptions(prefix=new_prefix(), stream_ttl_s=1_000.0)
    async with open_redis(redis_server.url, chosen) as broker:
        made = await broker.log.create(META)
        entries, held = [chunk(1)], [HeldChunk(3, "h", NOW)]
        await broker.log.append(STREAM, made.fence, 1, entries, held)
        for key in keys(chosen.prefix):
            redis_server.command("PEXPIRE", key, "5000")
        await broker.log.append(STREAM, made.fence, 2, [chunk(2)], [HeldChunk(4, "h", NOW)])
        for key in keys(chosen.prefix):
            assert 900_000 < int(redis_server.command("PTTL", key)[1:]) <= 1_000_000
            redis_server.command("PEXPIRE", key, "5000")
        await broker.log.claim(STREAM)
        for key in keys(chosen.prefix):
            assert 900_000 < int(redis_server.command("PTTL", key)[1:]) <= 1_000_000
            redis_server.command("PEXPIRE", key, "1")

        async def is_unknown() -> bool:
            try:
                await broker.log.describe(STREAM)
            except UnknownStream:
                return True
            return False

        await until(is_unknown)


async def test_nothing_is_left_of_a_dropped_log(redis_server: RedisServer) -> None:
    """A log may be made anew at once."""
    chosen = options()
    async with open_redis(redis_server.url, chosen) as broker:
        made = await broker.log.create(META)
        await broker.log.append(STREAM, made.fence, 1, [chunk(1)], [HeldChunk(3, "h", NOW)])
        await broker.log.drop(STREAM)
        assert redis_server.command("EXISTS", *keys(chosen.prefix)) == ":0"
        again = await broker.log.create(META)
        assert list(await read(broker)) == []
        await broker.log.append(STREAM, again.fence, 1, [chunk(1, "new")], [])
        assert list(await read(broker)) == [chunk(1, "new")]


async def test_a_reader_beside_the_owner_asks_redis_nothing(own_redis: RedisServer) -> None:
    """It is woken by the append's own reply, and what it reads is there: one command for a chunk.

    Nor does another node's reader ask: its bell brings the entries.
    """
    chosen = options()
    async with (
        open_redis(own_redis.url, chosen) as here,
        open_redis(own_redis.url, chosen) as there,
    ):
        made = await here.log.create(META)
        await there.log.describe(STREAM)
        woken = [asyncio.Event(), asyncio.Event()]
        for broker, event in zip((here, there), woken, strict=True):
            broker.log.watch(STREAM, event.set)

        async def is_joined() -> bool:
            before = own_redis.calls("evalsha")
            return list(await read(there, 9)) == [] and own_redis.calls("evalsha") == before

        await until(is_joined)
        # The first one finds out who reads, and is made again.
        await here.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        own_redis.command("CONFIG", "RESETSTAT")
        for offset in range(2, 22):
            for event in woken:
                event.clear()
            await here.log.append(STREAM, made.fence, offset, [chunk(offset)], [])
            for broker, event in zip((here, there), woken, strict=True):
                await asyncio.wait_for(event.wait(), TIMEOUT_S)
                assert list(await read(broker, offset - 1)) == [chunk(offset)]
                assert list(await read(broker, offset)) == []
        assert own_redis.calls("evalsha") == 20
        assert own_redis.calls("xread") <= 30


async def test_nothing_is_acknowledged_without_its_replicas(own_redis: RedisServer) -> None:
    """At the level `redis+wait` a relay without them opens no stream at all."""
    chosen = RedisOptions(prefix=new_prefix(), wait_replicas=1, wait_s=0.02)
    async with open_redis(own_redis.url, chosen) as broker:
        assert broker.log.durability == "redis+wait"
        with pytest.raises(BrokerUnavailable, match="replicas"):
            await broker.log.create(META)


async def test_a_rebuilt_owner_waits_for_the_replicas_too(own_redis: RedisServer) -> None:
    """Or a claim would tell the bot that a chunk is stored whose own ACK was refused."""
    prefix = new_prefix()
    async with open_redis(own_redis.url, options(prefix)) as plain:
        made = await plain.log.create(META)
        assert plain.log.durability == "redis"
    chosen = RedisOptions(prefix=prefix, wait_replicas=1, wait_s=0.02)
    async with open_redis(own_redis.url, chosen) as broker:
        with pytest.raises(BrokerUnavailable, match="replicas"):
            await broker.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        with pytest.raises(BrokerUnavailable, match="replicas"):
            await broker.log.claim(STREAM)


async def test_two_relays_share_a_redis_by_their_prefixes(redis_server: RedisServer) -> None:
    """A stream of one is unknown to the other."""
    async with (
        open_redis(redis_server.url, options()) as one,
        open_redis(redis_server.url, options()) as other,
    ):
        await one.log.create(META)
        with pytest.raises(UnknownStream):
            await other.log.describe(STREAM)


async def test_a_long_log_is_claimed_and_read_whole(redis_server: RedisServer) -> None:
    """Thousands of entries in one append, and in one reply."""
    entries = [chunk(offset, "嘿" * 20) for offset in range(1, 5_001)]
    async with open_redis(redis_server.url, options()) as broker:
        made = await broker.log.create(replace(META, user_id="\ud83e"))
        await broker.log.append(STREAM, made.fence, 1, entries, [])
        assert list(await broker.log.read(STREAM, 0, 10_000)) == entries
        claimed = await broker.log.claim(STREAM)
        assert claimed.entries == tuple(entries)
        assert claimed.meta.user_id == "\ud83e"


async def test_a_reader_hears_of_a_redis_that_was_emptied_while_it_was_connected(
    redis_server: RedisServer,
) -> None:
    """No connection breaks and no bell rings: it would wait for ever for a log that is gone."""
    chosen = replace(options(), node_ttl_s=0.4)
    async with (
        open_redis(redis_server.url, chosen) as owner,
        open_redis(redis_server.url, chosen) as broker,
    ):
        made = await owner.log.create(META)
        await owner.log.append(STREAM, made.fence, 1, [chunk(1)], [])
        woken = asyncio.Event()
        assert len(await read(broker)) == 1
        broker.log.watch(STREAM, woken.set)

        async def is_followed() -> bool:
            readers = redis_server.command("HGET", keys(chosen.prefix)[0], "readers")
            return broker.nodes.node_id in readers

        await until(is_followed)
        woken.clear()
        nodes = Keys(chosen.prefix, "").nodes().decode()
        redis_server.command("DEL", nodes, *keys(chosen.prefix))
        async with asyncio.timeout(TIMEOUT_S):
            await woken.wait()
        with pytest.raises(UnknownStream):
            await read(broker, 1)
