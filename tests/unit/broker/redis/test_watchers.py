from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from relay.broker.redis.keys import bucket_of_stream
from relay.broker.redis.reader import Record
from relay.broker.redis.readers import Joined, Readers, Ring
from relay.broker.redis.watchers import TAIL_MAX, Watchers
from relay.clock import ManualClock
from relay.errors import BrokerUnavailable, UnknownStream
from relay.protocol.events import Entry, EntryKind
from relay.wire.entry import to_fields

TTL_S = 100.0
EPOCH = "e"


def entry(offset: int) -> Entry:
    """A chunk's entry."""
    return Entry(offset, EntryKind.CHUNK, 0.0, str(offset), offset - 1)


def ring(offset: int, *, stream: str = "s", epoch: str = EPOCH) -> Record:
    """What the append of such an entry adds to a bell."""
    fields = {"stream": stream, "epoch": epoch, **to_fields(entry(offset))}
    return Record(b"1-0", {key.encode(): value.encode() for key, value in fields.items()})


def bare_ring(**fields: str) -> Record:
    """A ring without an entry."""
    return Record(b"1-0", {key.encode(): value.encode() for key, value in fields.items()})


class FakeReaders:
    """Notes who joins and leaves, and lets the test ring and answer."""

    def __init__(self) -> None:
        self.heard: set[int] = set()
        self.joins: list[asyncio.Future[Joined | None]] = []
        self.leaves: list[asyncio.Future[None]] = []
        self.ring: Ring

    def group(self, bucket: int) -> int:
        return 0

    def on_ring(self, ring: Ring) -> None:
        self.ring = ring

    def listen(self, bucket: int) -> None:
        self.heard.add(bucket)

    async def join(self, stream_id: str) -> Joined | None:
        self.joins.append(asyncio.get_running_loop().create_future())
        return await self.joins[-1]

    async def leave(self, stream_id: str) -> None:
        self.leaves.append(asyncio.get_running_loop().create_future())
        await self.leaves[-1]


class World:
    """Watchers, and what is around them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.readers = FakeReaders()
        self.watchers = Watchers(cast("Readers", self.readers), now=self.clock.now, ttl_s=TTL_S)

    def rung(self, *records: Record) -> None:
        """The bell brings this; nothing at all: the connection was lost."""
        self.readers.ring(0, records)

    async def joined(self, stored: int, epoch: str = EPOCH) -> None:
        """Answer the newest wish to join."""
        await self.settle()
        self.readers.joins[-1].set_result(Joined(epoch.encode(), stored))
        await self.settle()

    async def settle(self) -> None:
        """Let everything go on that can."""
        for _ in range(5):
            await asyncio.sleep(0)

    def watched(self) -> Wakes:
        """Watch a log that this node has made: it is certain from the beginning."""
        self.watchers.made("s", EPOCH)
        wakes = Wakes()
        self.watchers.watch("s", wakes)
        return wakes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Watchers on a clock that stands still."""
    world = World()
    yield world
    await world.watchers.close()


class Wakes:
    """How often it was woken."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def test_a_log_that_was_not_met_cannot_be_watched(world: World) -> None:
    """It may not exist; whoever wants to watch it has asked for it before."""
    with pytest.raises(UnknownStream):
        world.watchers.watch("s", Wakes())


async def test_a_log_that_was_made_here_asks_nobody(world: World) -> None:
    """Its hash names this node already; but the bell must be heard."""
    world.watched()
    await world.settle()
    assert world.readers.heard == {bucket_of_stream("s")}
    assert world.readers.joins == []
    assert world.watchers.peek("s", 0, 10) == []


async def test_a_log_of_another_node_is_joined_once(world: World) -> None:
    """However many watch it. Until then readers must ask: a ring may have been missed."""
    world.watchers.learn("s", 0, EPOCH)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    world.watchers.watch("s", Wakes())
    await world.settle()
    assert len(world.readers.joins) == 1
    assert world.watchers.peek("s", 0, 10) is None
    await world.joined(0)
    assert world.watchers.peek("s", 0, 10) == []
    assert wakes.count == 0
    world.watchers.watch("s", Wakes())
    await world.settle()
    assert len(world.readers.joins) == 1


async def test_what_came_before_the_joining_wakes(world: World) -> None:
    """It rang no bell here; who had read before the joining would wait for ever."""
    world.watchers.learn("s", 3, EPOCH)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    await world.joined(5)
    assert wakes.count == 1
    assert world.watchers.peek("s", 3, 10) is None
    assert world.watchers.peek("s", 5, 10) == []


async def test_a_joining_that_fails_is_tried_again(world: World) -> None:
    """Redis was away for a moment."""
    world.watchers.learn("s", 0, EPOCH)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    await world.settle()
    world.readers.joins[0].set_exception(BrokerUnavailable("away"))
    async with asyncio.timeout(10):
        while len(world.readers.joins) < 2:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
    await world.joined(1)
    assert wakes.count == 1


async def test_a_doubt_while_joining_makes_the_answer_void(world: World) -> None:
    """It may be from before the connection broke, and what it says may be gone."""
    world.watchers.learn("s", 0, EPOCH)
    world.watchers.watch("s", Wakes())
    await world.settle()
    world.rung()
    await world.joined(0)
    assert world.watchers.peek("s", 0, 10) is None
    assert len(world.readers.joins) == 2
    await world.joined(0)
    assert world.watchers.peek("s", 0, 10) == []


async def test_a_log_that_cannot_be_joined_is_gone(world: World) -> None:
    """Whoever watches is woken, to find that out."""
    world.watchers.learn("s", 0, EPOCH)
    wakes = Wakes()
    stop = world.watchers.watch("s", wakes)
    await world.settle()
    world.readers.joins[0].set_result(None)
    await world.settle()
    assert wakes.count == 1
    stop()
    with pytest.raises(UnknownStream):
        world.watchers.watch("s", Wakes())


async def test_what_is_appended_is_told_once(world: World) -> None:
    """Here or on another node; several entries of one reply wake once."""
    wakes = world.watched()
    world.watchers.announce("s", [entry(1), entry(2)])
    world.rung(ring(1), ring(2))
    assert wakes.count == 1
    world.rung(ring(3), ring(4))
    assert wakes.count == 2
    assert world.watchers.peek("s", 2, 10) == [entry(3), entry(4)]


async def test_a_read_wakes_nobody_and_hides_nothing_from_others(world: World) -> None:
    """One reader has read offset 5 already; the others have not, and must be woken."""
    wakes = world.watched()
    world.watchers.learn("s", 5)
    assert wakes.count == 0
    world.rung(ring(5))
    assert wakes.count == 1


async def test_a_claim_wakes_for_what_it_found(world: World) -> None:
    """The reply of an append may have been lost, and it was done."""
    wakes = world.watched()
    world.watchers.found("s", EPOCH, 2)
    assert wakes.count == 1
    assert world.watchers.peek("s", 0, 10) is None


async def test_a_ring_without_an_entry_makes_readers_ask(world: World) -> None:
    """It was too long for the bell; what follows is kept again."""
    wakes = world.watched()
    world.rung(ring(1), bare_ring(stream="s", epoch=EPOCH, offset="2"))
    assert wakes.count == 1
    assert world.watchers.peek("s", 0, 10) is None
    assert world.watchers.peek("s", 1, 10) is None
    world.rung(ring(3))
    assert world.watchers.peek("s", 1, 10) is None
    assert world.watchers.peek("s", 2, 10) == [entry(3)]


async def test_a_part_of_what_a_wake_was_for_is_not_all_of_it(world: World) -> None:
    """A reader is woken once: given what its bell brought, it would wait for ever for the rest."""
    wakes = world.watched()
    world.rung(ring(1))
    assert world.watchers.peek("s", 0, 10) == [entry(1)]
    world.rung(ring(2), bare_ring(stream="s", epoch=EPOCH, offset="19"))
    assert (wakes.count, world.watchers.peek("s", 1, 100)) == (2, None)
    world.rung(ring(20))
    assert world.watchers.peek("s", 1, 100) is None
    assert world.watchers.peek("s", 19, 100) == [entry(20)]


async def test_an_entry_that_cannot_be_understood_silences_nobody(world: World) -> None:
    """Another version's: whoever reads the log says so."""
    wakes = world.watched()
    world.rung(bare_ring(stream="s", epoch=EPOCH, offset="1", kind="song"))
    assert wakes.count == 1
    assert world.watchers.peek("s", 0, 10) is None


async def test_an_append_whose_outcome_is_unknown_is_asked_for(world: World) -> None:
    """This node's own appends ring no bell here, and another node may own the log by now."""
    wakes = world.watched()
    world.watchers.doubt("s")
    assert world.watchers.peek("s", 0, 10) is None
    await world.joined(1)
    assert wakes.count == 1


async def test_a_connection_that_was_lost_wakes_everybody(world: World) -> None:
    """Rings may be lost, and the log may be gone: this node joins anew."""
    wakes = world.watched()
    world.watchers.announce("s", [entry(1)])
    world.rung()
    assert wakes.count == 2
    assert world.watchers.peek("s", 0, 10) is None
    await world.joined(2)
    assert wakes.count == 3


async def test_a_drop_elsewhere_is_found_out(world: World) -> None:
    """Its ring names no epoch; where the log was made anew since, nothing is lost."""
    wakes = world.watched()
    world.rung(bare_ring(stream="s"))
    await world.settle()
    world.readers.joins[-1].set_result(None)
    await world.settle()
    assert wakes.count == 1
    assert len(world.watchers) == 0


async def test_rings_of_a_former_log_say_nothing_of_a_new_one(world: World) -> None:
    """Its offsets begin again."""
    wakes = world.watched()
    world.rung(ring(4, epoch="old"))
    assert wakes.count == 0
    await world.joined(0)
    assert world.watchers.peek("s", 0, 10) == []
    world.rung(ring(1))
    assert wakes.count == 1


async def test_a_log_that_was_made_anew_elsewhere_begins_again(world: World) -> None:
    """What is kept of the former one must not be shown for it."""
    wakes = world.watched()
    world.watchers.announce("s", [entry(1), entry(2)])
    world.rung(ring(1, epoch="new"))
    await world.joined(1, "new")
    assert wakes.count == 2
    assert world.watchers.peek("s", 0, 10) is None


async def test_a_log_that_nobody_watches_is_left_at_its_next_ring(world: World) -> None:
    """Not at once: a device that comes back finds everything as it was."""
    world.watchers.made("s", EPOCH)
    leave = world.watchers.watch("s", Wakes())
    leave()
    leave()
    world.rung(ring(1), ring(2))
    world.rung(ring(1, stream="never met"))
    await world.settle()
    assert len(world.readers.leaves) == 2
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    await world.settle()
    assert world.readers.joins == []
    world.readers.leaves[0].set_result(None)
    await world.joined(2)
    assert wakes.count == 1


async def test_logs_that_have_expired_are_forgotten(world: World) -> None:
    """But for those that are watched: their readers find out themselves."""
    for name in ("old", "s", "touched"):
        world.watchers.learn(name, 0)
    world.watchers.watch("s", Wakes())
    world.clock.advance(TTL_S - 1)
    world.watchers.learn("touched", 1)
    world.clock.advance(1)
    world.watchers.learn("new", 0)
    assert len(world.watchers) == 3
    with pytest.raises(UnknownStream):
        world.watchers.watch("old", Wakes())


async def test_the_newest_entries_are_read_without_asking(world: World) -> None:
    """While somebody watches, whoever appended them; older ones must be asked for."""
    world.watchers.made("s", EPOCH)
    world.watchers.announce("s", [entry(1), entry(2)])
    stop = world.watchers.watch("s", Wakes())
    assert world.watchers.peek("s", 1, 10) is None
    assert world.watchers.peek("s", 2, 10) == []
    world.watchers.announce("s", [entry(3)])
    world.rung(ring(3), ring(4), ring(5))
    assert world.watchers.peek("s", 2, 10) == [entry(3), entry(4), entry(5)]
    assert world.watchers.peek("s", 3, 1) == [entry(4)]
    for after in (0, 1):
        assert world.watchers.peek("s", after, 10) is None
    for after in (5, 9):
        assert world.watchers.peek("s", after, 10) == []
    stop()
    assert world.watchers.peek("s", 2, 10) is None


async def test_what_is_kept_has_no_hole_and_is_little(world: World) -> None:
    """A reader that got an entry too many or too few would show a wrong text."""
    world.watched()
    world.watchers.announce("s", [entry(1), entry(2)])
    world.watchers.announce("s", [entry(5)])
    assert world.watchers.peek("s", 0, 10) is None
    assert world.watchers.peek("s", 4, 10) == [entry(5)]
    world.watchers.announce("s", [entry(offset) for offset in range(6, 100)])
    assert len(world.watchers.peek("s", 99 - TAIL_MAX, 1000) or []) == TAIL_MAX
    assert world.watchers.peek("s", 98 - TAIL_MAX, 1000) is None


async def test_nothing_is_kept_over_a_lost_connection_or_a_drop(world: World) -> None:
    """What is stored may be something else then."""
    world.watched()
    world.watchers.announce("s", [entry(1)])
    world.rung()
    assert world.watchers.peek("s", 0, 10) is None
    world.watchers.announce("s", [entry(2)])
    world.watchers.forget("s")
    assert world.watchers.peek("s", 1, 10) is None
