"""How many streams a key has open and how many readers a stream has, on a real node."""

from __future__ import annotations

from collections import Counter

import pytest
from structlog.testing import capture_logs

from relay.errors import RateLimited
from relay.limits.refusal import Kind, Limit
from relay.node.quota import LOOKED_THROUGH_FIRST, Quota
from relay.protocol.events import Chunk, End
from relay.settings import Settings
from tests.support.node import KEY, World


async def test_one_open_stream_too_many_is_refused_until_another_has_ended() -> None:
    """With the time to come back; another key has its own, and what is open goes on."""
    world = World(settings=Settings(streams_per_key=2))
    bot = await world.bot()
    first, second = [(await world.ask()).stream_id for _ in range(2)]
    with capture_logs() as logs:
        with pytest.raises(RateLimited) as caught:
            await world.ask()
        with pytest.raises(RateLimited):
            await world.ask()
    assert (caught.value.limit, caught.value.retry_after_s) == ("streams_per_key", 5)
    told = [line for line in logs if line["event"] == "limit_reached"]
    assert [(line["limit"], line["access_key_id"]) for line in told] == [("streams_per_key", KEY)]
    await world.ask(key=KEY + 1)
    await bot.say(first, Chunk("a", 0))
    await bot.say(first, End(1))
    await world.advance(1.0)
    await world.ask()
    await bot.say(second, Chunk("b", 0))
    reader = await world.read(second)
    await bot.say(second, End(1))
    assert await reader.read_all() == "b"


async def test_streams_that_have_ended_are_not_counted() -> None:
    """Nobody is online: each ends at once, and stays readable for its retention."""
    world = World(settings=Settings(streams_per_key=1))
    for _ in range(10):
        await world.ask()
        await world.advance(1.0)


async def test_one_reader_too_many_is_refused_until_another_leaves() -> None:
    """The readers of other streams are not touched."""
    world = World(settings=Settings(readers_per_stream=2))
    await world.bot()
    stream, other = [(await world.ask()).stream_id for _ in range(2)]
    readers = [await world.read(stream) for _ in range(2)]
    with capture_logs(), pytest.raises(RateLimited) as caught:
        await world.read(stream)
    assert caught.value.limit == "readers_per_stream"
    await world.read(other)
    readers[0].subscription.close()
    await world.read(stream)
    metrics = world.node.metrics.render().decode()
    assert 'relay_limited_total{kind="read",limit="readers_per_stream"} 1.0' in metrics


async def test_without_limits_everybody_asks_and_reads() -> None:
    """Zero is no limit."""
    world = World(settings=Settings(streams_per_key=0, readers_per_stream=0))
    await world.bot()
    streams = [(await world.ask()).stream_id for _ in range(100)]
    for _ in range(100):
        await world.read(streams[0])


def test_what_is_kept_of_a_key_is_at_most_twice_what_it_has_open() -> None:
    """A million streams that have ended cost no more than a few."""
    looked: Counter[str] = Counter()

    def is_open(stream_id: str) -> bool:
        looked[stream_id] += 1
        return False

    quota = Quota(streams_max=10**9, readers_max=0, is_open=is_open, count=_nothing)
    for number in range(10_000):
        quota.check_ask(KEY, float(number))
        quota.opened(KEY, str(number), float(number))
        kept = quota._opened[KEY].ids  # noqa: SLF001 - memory is what is tested
        assert len(kept) <= LOOKED_THROUGH_FIRST
    assert max(looked.values()) == 1


def test_a_key_that_asks_without_end_is_looked_through_once_a_second() -> None:
    """Being refused must not cost more than being served."""
    looked: Counter[str] = Counter()

    def is_open(stream_id: str) -> bool:
        looked[stream_id] += 1
        return True

    quota = Quota(streams_max=10, readers_max=0, is_open=is_open, count=_nothing)
    for number in range(10):
        quota.opened(KEY, str(number), 0.0)
    with capture_logs():
        for tick in range(1_000):
            with pytest.raises(RateLimited):
                quota.check_ask(KEY, 10.0 + tick / 1_000)
    assert set(looked.values()) == {1}


def _nothing(_limit: Limit, _kind: Kind) -> None:
    pass
