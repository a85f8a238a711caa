from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from relay.broker.redis.keys import Keys
from relay.broker.redis.pipe import Argument
from relay.broker.redis.reader import BELL_LENGTH
from relay.broker.redis.readers import Readers
from relay.broker.redis.writers import RENEW_S, SHARED_CHARS_MAX, SHARED_ENTRIES_MAX, Writers
from relay.clock import ManualClock
from relay.protocol.events import Entry, EntryKind, HeldChunk, Part, PartKind

KEYS = Keys("relay", "here")
TTL_S = 1_000.0


def entry(offset: int, content: str = "a") -> Entry:
    """A chunk's entry."""
    return Entry(offset, EntryKind.CHUNK, 0.0, content, offset - 1)


class FakeReaders:
    """Each node's bell is its name."""

    def bell(self, stream_id: str) -> bytes:
        return b"here"

    def bells(self, stream_id: str, nodes: Sequence[str]) -> list[bytes]:
        return [node.encode() for node in nodes if node != "here"]


class World:
    """Writers on a clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        readers = cast("Readers", FakeReaders())
        self.writers = Writers(readers, KEYS, now=self.clock.now, ttl_s=TTL_S)

    def append(
        self, offset: int, *entries: Entry, held: Sequence[HeldChunk] = (), stream: str = "s"
    ) -> tuple[list[bytes], list[Argument]]:
        """What is sent to append these."""
        return self.writers.append(stream, 3, offset, entries, held, {})

    def is_due(self, offset: int, *, held: Sequence[HeldChunk] = ()) -> bool:
        """Whether the keys are told when they expire."""
        _, arguments = self.append(offset, entry(offset), held=held)
        assert arguments[3] in (0, 1_000_000)
        return arguments[3] != 0


@pytest.fixture
def world() -> World:
    """Writers on a clock that stands still."""
    return World()


def test_a_log_that_nobody_else_reads_rings_no_bell(world: World) -> None:
    """And says no more than it must."""
    world.writers.begin("s", b"here", may_hold=False)
    keys, arguments = world.append(7, entry(7))
    assert keys == [KEYS.meta("s"), KEYS.log("s"), KEYS.held("s"), KEYS.notes("s")]
    assert arguments[:10] == [3, 7, b"here", 1_000_000, b"", 0, BELL_LENGTH, 0, 0, 0]


def test_who_reads_elsewhere_is_rung(world: World) -> None:
    """As soon as an append was refused for it."""
    world.append(1, entry(1))
    world.writers.told("s", b"one here two")
    keys, arguments = world.append(1, entry(1))
    assert keys[4:] == [b"one", b"two"]
    assert arguments[2:6] == [b"one here two", 1_000_000, b"s", 1]
    keys, arguments = world.writers.drop("s")
    assert keys[4:] == [KEYS.reports("s"), b"one", b"two"]
    assert arguments == [b"one here two", b"s", BELL_LENGTH]


@pytest.mark.parametrize(
    "entries",
    [
        [entry(1, "x" * (SHARED_CHARS_MAX + 1))],
        [
            Entry(
                1,
                EntryKind.CHUNK,
                0.0,
                part=Part(next(iter(PartKind)), "x" * (SHARED_CHARS_MAX + 1)),
            )
        ],
        [entry(offset) for offset in range(1, SHARED_ENTRIES_MAX + 2)],
    ],
)
def test_a_bell_is_not_filled_with_much(world: World, entries: list[Entry]) -> None:
    """A node that does not read would fill the memory of Redis with it."""
    world.writers.begin("s", b"one", may_hold=False)
    _, arguments = world.append(1, *entries)
    assert arguments[4:6] == [b"s", 0]


def test_when_keys_expire_is_told_seldom(world: World) -> None:
    """Each minute, and where a key may be new."""
    world.writers.begin("s", b"", may_hold=False)
    assert world.is_due(1)
    assert not world.is_due(2)
    world.clock.advance(RENEW_S)
    assert world.is_due(3)
    assert not world.is_due(4)
    assert world.is_due(5, held=[HeldChunk(9, "h", 0.0)])
    _, arguments = world.writers.append("s", 3, 6, [entry(6)], [], {"a": "b"})
    assert arguments[3] == 1_000_000
    world.writers.told("s", b"one")
    assert world.is_due(7)


def test_held_chunks_are_let_go_where_there_may_be_some(world: World) -> None:
    """What is known of a log that was claimed; of another one, nothing."""
    world.writers.begin("s", b"", may_hold=False)
    assert world.append(1, entry(1))[1][9] == 0
    world.append(2, held=[HeldChunk(3, "h", 0.0)])
    assert world.append(2, entry(2))[1][9:11] == [1, 1]
    assert world.append(1, entry(1), stream="not met")[1][9:11] == [1, 0]


def test_what_is_written_no_more_is_forgotten(world: World) -> None:
    """At once, or when it has expired."""
    for name in ("a", "b", "c"):
        world.writers.begin(name, b"", may_hold=False)
        world.append(1, entry(1), stream=name)
    world.writers.forget("a")
    world.writers.forget("a")
    assert len(world.writers) == 2
    world.clock.advance(TTL_S)
    world.append(2, entry(2), stream="b")
    world.clock.advance(RENEW_S + 1)
    world.writers.begin("d", b"", may_hold=False)
    assert len(world.writers) == 2
