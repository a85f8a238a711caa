from __future__ import annotations

from dataclasses import replace
from typing import cast

from relay.broker.base import LogState, ReadReport, StreamMeta
from relay.broker.redis.pipe import Argument, Reply
from relay.broker.redis.records import (
    append_arguments,
    meta_arguments,
    note_arguments,
    read_entries,
    read_meta,
    read_report,
    read_snapshot,
    read_state,
    readers_of,
    write_report,
)
from relay.protocol.events import Entry, EntryKind, HeldChunk
from relay.protocol.status import Outcome
from tests.support.node import META, NOW

CHUNK = Entry(1, EntryKind.CHUNK, NOW, "嘿", 4, carry="\ud83e")
NOTES = {"command": "嘿", "half": "\ud83e"}
END = Entry(2, EntryKind.END, NOW, total_chunks=5, outcome=Outcome.COMPLETED)


def replied(*arguments: Argument) -> Reply:
    """What was sent, as the server gives it back."""
    return [one if isinstance(one, bytes) else str(one).encode() for one in arguments]


def described(meta: StreamMeta) -> Reply:
    """The hash of a log. Its fence is the server's."""
    return replied(*meta_arguments(meta, "epoch", "node"), b"fence", b"1")


def records(*entries: Entry) -> Reply:
    """Entries as a script reads them: an id, and what an append sent of each."""
    found: list[Reply] = []
    for entry in entries:
        _, *flat = append_arguments([entry], [], {}, may_hold=False)[3:]
        found.append([f"{entry.offset}-0".encode(), replied(*flat)])
    return found


def test_an_append_is_flat() -> None:
    """In the order in which `append.lua` takes it."""
    held = HeldChunk(7, "early", NOW)
    arguments = append_arguments([CHUNK, END], [held], {"a": "嘿"}, may_hold=True)
    assert arguments[:5] == [1, b"a", "嘿".encode(), 1, 7]
    assert arguments[6:8] == [1, 4]
    count = cast("int", arguments[8])
    assert arguments[9 : 9 + count][:4] == [b"offset", b"1", b"kind", b"chunk"]
    assert arguments[9 + count] == len(arguments) - 10 - count


def test_what_cannot_be_held_is_not_let_go() -> None:
    """No sequence is named where none is held: most chunks come in their order."""
    assert append_arguments([CHUNK, END], [], {}, may_hold=False)[:3] == [0, 0, 0]


def test_entries_are_read_back() -> None:
    """All of their fields."""
    assert read_entries(records(CHUNK, END)) == [CHUNK, END]


def test_meta_data_is_read_back() -> None:
    """With and without a bot; text that is no Unicode, too."""
    for meta in (META, replace(META, bot_id=None), replace(META, user_id="\ud83e 嘿")):
        fields = described(meta)
        assert read_meta(fields) == (meta, "epoch", 1)
        assert readers_of(fields) == b"node"


def test_a_snapshot_has_held_chunks_as_they_arrived() -> None:
    """A hash has no order; the owner is given theirs. Halves of a pair are as they were sent."""
    held = [HeldChunk(9, "\ud83e", NOW), HeldChunk(5, "b", NOW + 1)]
    arguments = append_arguments([], held, {}, may_hold=True)
    values = [arguments[5], arguments[3]]
    meta = described(META)
    snapshot = read_snapshot(
        meta, records(CHUNK), replied(*values), replied(*note_arguments(NOTES)[1:])
    )
    assert snapshot.held == tuple(held)
    assert (snapshot.meta, snapshot.epoch, snapshot.fence) == (META, "epoch", 1)
    assert (snapshot.entries, snapshot.notes) == ((CHUNK,), NOTES)


def test_a_state_says_what_comes_next_and_whether_it_has_ended() -> None:
    """Its last entry tells; no meta data is no log."""
    meta = described(META)
    assert read_state([meta, 0, []]) == LogState(META, "epoch", 1, ended=False)
    assert read_state([meta, 1, records(CHUNK)]) == LogState(META, "epoch", 2, ended=False)
    assert read_state([meta, 2, records(END)]) == LogState(META, "epoch", 3, ended=True)
    assert read_state([[], 1, []]) is None


def test_a_report_is_read_back() -> None:
    """To the last digit of a time."""
    report = ReadReport("node", 2, True, False, (NOW, NOW + 0.1234567))
    assert read_report(write_report(report)) == report
