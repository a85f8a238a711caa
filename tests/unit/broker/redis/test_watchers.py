from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from relay.broker.redis.keys import Keys, bucket_of_stream
from relay.broker.redis.reader import Deliver, Record
from relay.broker.redis.readers import Readers
from relay.broker.redis.watchers import TAIL_MAX, Watchers
from relay.clock import ManualClock
from relay.errors import UnknownStream
from relay.protocol.events import Entry, EntryKind
from relay.wire.entry import to_fields

KEYS = Keys("relay", "here")
TTL_S = 100.0


def entry(offset: int) -> Entry:
    """A chunk's entry."""
    return Entry(offset, EntryKind.CHUNK, 0.0, str(offset), offset - 1)


def record(name: bytes) -> Record:
    """The record of such an entry, by its id."""
    fields = to_fields(entry(int(name.partition(b"-")[0])))
    return Record(name, {key.encode(): value.encode() for key, value in fields.items()})


@dataclass
class FakeReaders:
    """Notes what is followed, and delivers what it is told to."""

    followed: dict[bytes, tuple[bytes, Deliver]] = field(default_factory=dict)

    def follow(self, bucket: int, key: bytes, after: bytes, deliver: Deliver) -> Callable[[], None]:
        assert key not in self.followed
        assert bucket == bucket_of_stream("s")
        self.followed[key] = (after, deliver)

        def stop() -> None:
            del self.followed[key]

        return stop

    def deliver(self, *ids: bytes) -> None:
        """Deliver records of the one stream that is followed."""
        ((_, deliver),) = self.followed.values()
        deliver([record(one) for one in ids])

    @property
    def after(self) -> list[bytes]:
        return [after for after, _ in self.followed.values()]


class World:
    """Watchers, and what is around them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.readers = FakeReaders()
        readers = cast("Readers", self.readers)
        self.watchers = Watchers(readers, KEYS, now=self.clock.now, ttl_s=TTL_S)


@pytest.fixture
def world() -> World:
    """Watchers on a clock that stands still."""
    return World()


class Wakes:
    """How often it was woken."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_a_log_that_was_not_met_cannot_be_watched(world: World) -> None:
    """It may not exist; whoever wants to watch it has asked for it before."""
    with pytest.raises(UnknownStream):
        world.watchers.watch("s", Wakes())


def test_a_log_is_followed_once_from_where_it_is_known_to_go(world: World) -> None:
    """However many watch it; and no more when the last of them has left."""
    world.watchers.learn("s", 7)
    stops = [world.watchers.watch("s", Wakes()) for _ in range(3)]
    assert world.readers.after == [b"7-0"]
    for stop in stops:
        assert world.readers.followed
        stop()
        stop()
    assert not world.readers.followed


def test_what_is_appended_here_is_told_once(world: World) -> None:
    """The reader brings it too, later: nobody is woken by it again."""
    world.watchers.learn("s", 0)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    world.watchers.announce("s", [entry(1), entry(2)])
    world.readers.deliver(b"1-0", b"2-0")
    assert wakes.count == 1
    world.readers.deliver(b"3-0")
    assert wakes.count == 2


def test_a_read_wakes_nobody_and_hides_nothing_from_others(world: World) -> None:
    """One reader has read offset 5 already; the others have not, and must be woken."""
    world.watchers.learn("s", 0)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    world.watchers.learn("s", 5)
    assert wakes.count == 0
    world.readers.deliver(b"5-0")
    assert wakes.count == 1


def test_a_tombstone_wakes_everybody_for_the_last_time(world: World) -> None:
    """They find out that the log is gone."""
    world.watchers.learn("s", 3)
    wakes = Wakes()
    stop = world.watchers.watch("s", wakes)
    world.readers.deliver(b"3-1")
    assert wakes.count == 1
    assert not world.readers.followed
    stop()
    with pytest.raises(UnknownStream):
        world.watchers.watch("s", Wakes())


def test_a_connection_that_was_lost_wakes_everybody(world: World) -> None:
    """The log may be gone with it, and then no record ever says so."""
    world.watchers.learn("s", 3)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    world.readers.deliver()
    assert wakes.count == 1
    assert world.readers.followed


def test_records_of_a_former_log_say_nothing_of_a_new_one(world: World) -> None:
    """Its stream has the same key, and its offsets begin again."""
    world.watchers.learn("s", 3)
    world.watchers.watch("s", Wakes())
    ((_, old),) = world.readers.followed.values()
    world.watchers.forget("s")
    world.watchers.learn("s", 0)
    wakes = Wakes()
    world.watchers.watch("s", wakes)
    old([record(b"4-0")])
    assert wakes.count == 0
    assert world.readers.after == [b"0-0"]


def test_logs_that_have_expired_are_forgotten(world: World) -> None:
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


def test_the_newest_entries_are_read_without_asking(world: World) -> None:
    """While somebody watches, whoever appended them; older ones must be asked for."""
    world.watchers.learn("s", 2)
    stop = world.watchers.watch("s", Wakes())
    assert world.watchers.peek("s", 2, 10) == []
    world.watchers.announce("s", [entry(3)])
    world.readers.deliver(b"3-0", b"4-0", b"5-0")
    assert world.watchers.peek("s", 2, 10) == [entry(3), entry(4), entry(5)]
    assert world.watchers.peek("s", 3, 1) == [entry(4)]
    for after in (0, 1, 5, 9):
        assert world.watchers.peek("s", after, 10) == []
    stop()
    assert world.watchers.peek("s", 2, 10) == []
    world.watchers.announce("s", [entry(6)])
    assert world.watchers.peek("s", 5, 10) == []


def test_what_is_kept_has_no_hole_and_is_little(world: World) -> None:
    """A reader that got an entry too many or too few would show a wrong text."""
    world.watchers.learn("s", 0)
    world.watchers.watch("s", Wakes())
    world.watchers.announce("s", [entry(1), entry(2)])
    world.watchers.announce("s", [entry(5)])
    assert world.watchers.peek("s", 0, 10) == []
    assert world.watchers.peek("s", 4, 10) == [entry(5)]
    world.watchers.announce("s", [entry(offset) for offset in range(6, 100)])
    assert len(world.watchers.peek("s", 99 - TAIL_MAX, 1000)) == TAIL_MAX
    assert world.watchers.peek("s", 98 - TAIL_MAX, 1000) == []


def test_nothing_is_kept_over_a_lost_connection_or_a_drop(world: World) -> None:
    """What is stored may be something else then."""
    world.watchers.learn("s", 0)
    world.watchers.watch("s", Wakes())
    world.watchers.announce("s", [entry(1)])
    world.readers.deliver()
    assert world.watchers.peek("s", 0, 10) == []
    world.watchers.announce("s", [entry(2)])
    world.watchers.forget("s")
    assert world.watchers.peek("s", 1, 10) == []
