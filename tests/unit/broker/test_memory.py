"""The memory broker: what the contract does not ask of others."""

from __future__ import annotations

from sys import getrefcount

import pytest

from relay.broker.memory import DURABILITY, MemoryLog, MemoryMailbox, new_epoch
from relay.protocol.events import Entry, EntryKind, HeldChunk
from tests.support.node import META, NOW


def test_an_append_is_done_when_it_returns() -> None:
    """Nothing to await: a chunk is read, stored and acknowledged in one call."""
    log = MemoryLog()
    log.create(META)
    entry = Entry(1, EntryKind.CHUNK, NOW, "a", 0)
    assert log.append("s", 1, 1, [entry], []) is None  # type: ignore[func-returns-value]  # the contract's None
    assert log.read("s", 0, 10) == [entry]


def test_epochs_can_be_given() -> None:
    """For runs that must repeat exactly."""
    log = MemoryLog(epochs=iter(["one", "two"]).__next__)
    assert log.create(META).epoch == "one"


def test_epochs_are_of_the_alphabet_of_positions_and_never_the_same() -> None:
    """An epoch stands in an SSE id."""
    epochs = {new_epoch() for _ in range(100)}
    assert len(epochs) == 100
    assert all(epoch.isalnum() and len(epoch) == 16 for epoch in epochs)


def test_a_dropped_log_takes_no_memory() -> None:
    """`len` counts the logs; dropping an unknown one does nothing."""
    log = MemoryLog()
    log.create(META)
    assert len(log) == 1
    log.drop("s")
    log.drop("s")
    assert len(log) == 0


def test_nor_do_its_entries_where_somebody_still_watches() -> None:
    """A device that does not read watches until it is let go."""
    log = MemoryLog()
    log.create(META)
    entry = Entry(1, EntryKind.CHUNK, NOW, "a", 0)
    alone = getrefcount(entry)
    log.append("s", 1, 1, [entry], [])
    stop = log.watch("s", lambda: None)
    log.drop("s")
    assert getrefcount(entry) == alone
    stop()


def test_an_append_of_held_chunks_alone_wakes_nobody() -> None:
    """There is nothing to read: a reader would wake up for nothing at every early chunk."""
    log = MemoryLog()
    log.create(META)
    wakes: list[None] = []
    log.watch("s", lambda: wakes.append(None))
    log.append("s", 1, 1, [], [HeldChunk(3, "early", NOW)])
    assert wakes == []
    log.append("s", 1, 1, [Entry(1, EntryKind.CHUNK, NOW, "a", 0)], [])
    assert wakes == [None]


def test_a_snapshot_is_no_window_into_the_log() -> None:
    """What an owner was given does not change under it."""
    log = MemoryLog()
    log.create(META)
    snapshot = log.claim("s")
    log.append("s", 2, 1, [Entry(1, EntryKind.CHUNK, NOW, "a", 0)], [HeldChunk(3, "b", NOW)])
    assert (snapshot.entries, snapshot.held) == ((), ())


@pytest.mark.parametrize("fence", [0, 2])
def test_only_the_newest_connection_stops_listening(fence: int) -> None:
    """A fence that is not the listener's own leaves it in place."""
    mailbox = MemoryMailbox()
    assert mailbox.listen(1, lambda letter: None, lambda: None) == 1
    mailbox.unlisten(1, fence)
    assert mailbox.is_online(1)


def test_its_level_is_memory() -> None:
    """What `connected` tells the bot."""
    assert MemoryLog().durability == DURABILITY == "memory"
