"""`StreamLog`: what every broker's log must hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

import pytest

from relay.broker.base import NO_NOTES, LogSnapshot, LogState, Notes, StreamLog, settle
from relay.errors import Fenced, OffsetMismatch, StreamExists, UnknownStream
from relay.protocol.events import Entry, EntryKind, HeldChunk, Part, PartKind
from relay.protocol.status import Outcome
from tests.support.node import META, NOW

LIMIT = 1000
SUGGESTIONS = Part(PartKind.FOLLOW_UP, '["明天呢？","\\u0000 🦞"]')
WAKE_TIMEOUT_S = 5


async def done(pending: Awaitable[None] | None) -> None:
    """Wait for a call that returns nothing."""
    if pending is not None:
        await pending


def chunk(offset: int, sequence: int | None = None, content: str | None = None) -> Entry:
    """A chunk's entry; by default its sequence is that of a stream without a gap."""
    sequence = offset - 1 if sequence is None else sequence
    text = f"{sequence}" if content is None else content
    return Entry(offset, EntryKind.CHUNK, NOW + offset / 10, text, sequence)


def early(sequence: int, content: str = "early", part: Part | None = None) -> HeldChunk:
    """A chunk that arrived early."""
    return HeldChunk(sequence, content, NOW + sequence / 10, part)


async def write(
    log: StreamLog,
    snapshot: LogSnapshot,
    offset: int,
    *entries: Entry,
    held: Sequence[HeldChunk] = (),
    notes: Notes = NO_NOTES,
) -> None:
    """Append as the owner that the snapshot was granted to."""
    await done(log.append(snapshot.meta.stream_id, snapshot.fence, offset, entries, held, notes))


async def read(log: StreamLog, after: int = 0, limit: int = LIMIT) -> list[Entry]:
    """Read the stream of these tests."""
    return list(await settle(log.read(META.stream_id, after, limit)))


async def stored(log: StreamLog) -> LogSnapshot:
    """Everything that is stored, as the next owner is given it."""
    return await settle(log.claim(META.stream_id))


async def test_a_new_log_is_empty_and_granted_to_its_maker(log: StreamLog) -> None:
    """No entries, and the meta data that every later owner gets too."""
    made = await settle(log.create(META))
    assert (made.meta, made.entries, made.held) == (META, (), ())
    assert made.epoch
    assert made.fence > 0
    assert await settle(log.describe(META.stream_id)) == LogState(META, made.epoch, 1, ended=False)
    assert await read(log) == []


async def test_a_stream_id_is_taken_once(log: StreamLog) -> None:
    """The second maker is refused, and the first one's log is as it was."""
    made = await settle(log.create(META))
    await write(log, made, 1, chunk(1))
    with pytest.raises(StreamExists):
        await settle(log.create(replace(META, trace_id="another")))
    assert await read(log) == [chunk(1)]
    assert await settle(log.describe(META.stream_id)) == LogState(META, made.epoch, 2, ended=False)


async def test_a_log_that_is_made_again_has_another_epoch(log: StreamLog) -> None:
    """Or a position in the old log would be taken for one in the new."""
    old = await settle(log.create(META))
    await done(log.drop(META.stream_id))
    assert (await settle(log.create(META))).epoch != old.epoch


async def test_two_logs_keep_apart(log: StreamLog) -> None:
    """Entries and fences of one are none of the other's."""
    mine = await settle(log.create(META))
    other = await settle(log.create(replace(META, stream_id="s:2")))
    assert mine.epoch != other.epoch
    await settle(log.claim("s:2"))
    await write(log, mine, 1, chunk(1))
    assert await read(log) == [chunk(1)]
    assert list(await settle(log.read("s:2", 0, LIMIT))) == []


async def test_entries_are_read_back_as_they_were_written(log: StreamLog) -> None:
    """Every kind, every field, whitespace, emoji, control characters and half a pair."""
    made = await settle(log.create(META))
    entries = (
        Entry(1, EntryKind.CHUNK, NOW + 0.1234567, " \n\t你好🦞\0\u2028", 0),
        Entry(2, EntryKind.CHUNK, NOW + 1, "", 1, carry="\ud83e"),
        Entry(3, EntryKind.GAP, NOW + 2, "\U0001f99e…", 2),
        Entry(4, EntryKind.REPAIR, NOW + 3, "repaired"),
        Entry(5, EntryKind.CHUNK, NOW + 3, "", 8, part=SUGGESTIONS),
        Entry(6, EntryKind.ENDING, NOW + 4, total_chunks=9),
        Entry(7, EntryKind.END, NOW + 5, "Sorry.", None, "", 9, Outcome.FAILED, SUGGESTIONS),
    )
    await write(log, made, 1, *entries)
    assert await read(log) == list(entries)
    assert (await stored(log)).entries == entries


async def test_a_read_returns_what_lies_behind_an_offset(log: StreamLog) -> None:
    """In order, without holes, and at most as many as asked for."""
    made = await settle(log.create(META))
    await write(log, made, 1, *(chunk(offset) for offset in range(1, 4)))
    await write(log, made, 4, chunk(4), chunk(5))
    for after in range(6):
        assert await read(log, after) == [chunk(offset) for offset in range(after + 1, 6)]
    assert await read(log, 1, limit=2) == [chunk(2), chunk(3)]
    assert await read(log, 99) == []


async def test_what_was_read_does_not_change(log: StreamLog) -> None:
    """A reader keeps its batch while the log grows."""
    made = await settle(log.create(META))
    await write(log, made, 1, chunk(1))
    before = await settle(log.read(META.stream_id, 0, LIMIT))
    await write(log, made, 2, chunk(2))
    assert list(before) == [chunk(1)]


async def test_an_append_at_another_offset_stores_nothing(log: StreamLog) -> None:
    """Again at an offset that is taken, or beyond the next one: neither entries nor held."""
    made = await settle(log.create(META))
    await write(log, made, 1, chunk(1))
    for offset in (0, 1, 3):
        with pytest.raises(OffsetMismatch):
            await write(log, made, offset, chunk(offset), held=[early(7)])
    with pytest.raises(OffsetMismatch):
        await write(log, made, 3, held=[early(7)])
    now = await stored(log)
    assert (now.entries, now.held) == ((chunk(1),), ())


async def test_an_older_fence_stores_nothing_and_says_so(log: StreamLog) -> None:
    """The owner that was paused through a takeover cannot interleave its chunks."""
    old = await settle(log.create(META))
    await write(log, old, 1, chunk(1))
    new = await stored(log)
    assert (new.fence, new.entries, new.epoch) == (old.fence + 1, (chunk(1),), old.epoch)
    with pytest.raises(Fenced):
        await write(log, old, 2, chunk(2, content="old"), held=[early(7)])
    await write(log, new, 2, chunk(2, content="new"))
    now = await stored(log)
    assert (now.fence, now.held) == (old.fence + 2, ())
    assert [entry.content for entry in now.entries] == ["0", "new"]


async def test_a_fence_is_judged_before_an_offset(log: StreamLog) -> None:
    """An owner that lost both learns that it has a successor."""
    old = await settle(log.create(META))
    new = await stored(log)
    await write(log, new, 1, chunk(1))
    with pytest.raises(Fenced):
        await write(log, old, 1, chunk(1))


async def test_a_fence_that_was_never_granted_stores_nothing(log: StreamLog) -> None:
    """Higher than the current one is not newer: nobody has it."""
    made = await settle(log.create(META))
    with pytest.raises(Fenced):
        await write(log, replace(made, fence=made.fence + 8), 1, chunk(1))
    assert await read(log) == []


async def test_of_owners_that_claim_at_once_only_one_can_write(log: StreamLog) -> None:
    """Every claim gets a fence of its own, and the highest one writes."""
    made = await settle(log.create(META))
    claims = await asyncio.gather(*(stored(log) for _ in range(5)))
    assert sorted(claim.fence - made.fence for claim in claims) == [1, 2, 3, 4, 5]
    for claim in claims:
        if claim.fence < made.fence + 5:
            with pytest.raises(Fenced):
                await write(log, claim, 1, chunk(1))
        else:
            await write(log, claim, 1, chunk(1))
    assert await read(log) == [chunk(1)]


async def test_held_chunks_lie_beside_the_log(log: StreamLog) -> None:
    """No reader sees them; the next owner gets all of them."""
    made = await settle(log.create(META))
    await write(log, made, 1, held=[early(2)])
    await write(log, made, 1, held=[early(5, "\ud83e"), early(3, "", SUGGESTIONS)])
    assert await read(log) == []
    held = (await stored(log)).held
    assert sorted(held, key=lambda one: one.sequence) == [
        early(2),
        early(3, "", SUGGESTIONS),
        early(5, "\ud83e"),
    ]


async def test_a_chunk_entry_takes_its_held_copy_with_it(log: StreamLog) -> None:
    """In the same append; the other held chunks stay."""
    made = await settle(log.create(META))
    await write(log, made, 1, held=[early(1), early(2), early(4)])
    await write(log, made, 1, chunk(1), chunk(2), chunk(3), held=[early(6)])
    now = await stored(log)
    assert sorted(one.sequence for one in now.held) == [4, 6]
    assert [entry.sequence for entry in now.entries] == [0, 1, 2]


async def test_a_gap_entry_leaves_what_is_held(log: StreamLog) -> None:
    """Only chunks bear the sequence of a held chunk; a gap names what it stands for."""
    made = await settle(log.create(META))
    await write(log, made, 1, held=[early(1)])
    await write(log, made, 1, Entry(1, EntryKind.GAP, NOW, "…", 1))
    assert [one.sequence for one in (await stored(log)).held] == [1]


async def test_notes_lie_beside_the_log_for_the_next_owner(log: StreamLog) -> None:
    """Those of its maker, too. A note replaces the one of its name; an empty one forgets it."""
    made = await settle(log.create(META, {"command": '{"a":"你好"}', "first": "1"}))
    assert made.notes == {"command": '{"a":"你好"}', "first": "1"}
    await write(log, made, 1, chunk(1), held=[early(3)], notes={"command": "", "second": "2\n\0"})
    await write(log, made, 2, notes={"first": "one", "never": ""})
    found = await stored(log)
    assert found.notes == {"first": "one", "second": "2\n\0"}
    assert (list(found.entries), list(found.held)) == ([chunk(1)], [early(3)])


async def test_a_note_is_refused_with_the_write_that_it_comes_with(log: StreamLog) -> None:
    """An owner that was replaced cannot speak to its successor's successor."""
    made = await settle(log.create(META, {"a": "1"}))
    claimed = await settle(log.claim(META.stream_id))
    with pytest.raises(Fenced):
        await write(log, made, 1, notes={"a": "2"})
    with pytest.raises(OffsetMismatch):
        await write(log, claimed, 2, notes={"a": "2"})
    assert (await stored(log)).notes == {"a": "1"}


async def test_a_log_that_is_made_again_has_no_notes_of_the_old_one(log: StreamLog) -> None:
    """They are about another log."""
    await settle(log.create(META, {"a": "1"}))
    await done(log.drop(META.stream_id))
    made = await settle(log.create(META, {"b": "2"}))
    assert made.notes == {"b": "2"}
    assert (await stored(log)).notes == {"b": "2"}


async def test_a_reader_of_a_log_that_is_gone_never_reads_the_next_one(log: StreamLog) -> None:
    """The same stream id made again is another log: its entries are no continuation."""
    old = await settle(log.create(META))
    await write(log, old, 1, chunk(1))
    assert list(await settle(log.read(META.stream_id, 0, LIMIT, old.epoch))) == [chunk(1)]
    await done(log.drop(META.stream_id))
    new = await settle(log.create(META))
    await write(log, new, 1, chunk(1), chunk(2))
    with pytest.raises(UnknownStream):
        await settle(log.read(META.stream_id, 1, LIMIT, old.epoch))
    assert list(await settle(log.read(META.stream_id, 1, LIMIT, new.epoch))) == [chunk(2)]


async def test_an_owner_of_a_log_that_is_gone_claims_nothing(log: StreamLog) -> None:
    """And writes nothing: the owner of the next log goes on undisturbed."""
    old = await settle(log.create(META))
    last = await stored(log)
    await done(log.drop(META.stream_id))
    new = await settle(log.create(META))
    assert new.fence > last.fence
    with pytest.raises(UnknownStream):
        await settle(log.claim(META.stream_id, old.epoch))
    for owner in (old, last):
        with pytest.raises(Fenced):
            await write(log, owner, 1, chunk(1, content="old"))
    await write(log, new, 1, chunk(1))
    assert (await settle(log.claim(META.stream_id, new.epoch))).fence == new.fence + 1


async def test_a_watcher_is_woken_by_every_append(log: StreamLog) -> None:
    """And what was appended can be read then."""
    made = await settle(log.create(META))
    woken = asyncio.Event()
    log.watch(META.stream_id, woken.set)
    for offset in (1, 2):
        woken.clear()
        await write(log, made, offset, chunk(offset))
        await asyncio.wait_for(woken.wait(), WAKE_TIMEOUT_S)
        assert (await read(log))[-1] == chunk(offset)


async def test_each_watcher_stops_for_itself(log: StreamLog) -> None:
    """Two readers may watch with the same function; stopping one twice does not stop the other."""
    made = await settle(log.create(META))
    wakes: list[str] = []
    other = asyncio.Event()
    stop = log.watch(META.stream_id, lambda: wakes.append("mine"))
    log.watch(META.stream_id, other.set)
    stop()
    stop()
    await write(log, made, 1, chunk(1))
    await asyncio.wait_for(other.wait(), WAKE_TIMEOUT_S)
    assert wakes == []


async def test_a_watcher_may_stop_while_it_is_woken(log: StreamLog) -> None:
    """A reader that leaves because of what it reads disturbs no other."""
    made = await settle(log.create(META))
    woken = asyncio.Event()

    def leave() -> None:
        stop()

    stop = log.watch(META.stream_id, leave)
    log.watch(META.stream_id, woken.set)
    await write(log, made, 1, chunk(1))
    await asyncio.wait_for(woken.wait(), WAKE_TIMEOUT_S)


async def test_a_dropped_log_wakes_its_readers_and_is_unknown(log: StreamLog) -> None:
    """To every call; dropping it again does nothing."""
    made = await settle(log.create(META))
    await write(log, made, 1, chunk(1))
    woken = asyncio.Event()
    log.watch(META.stream_id, woken.set)
    await done(log.drop(META.stream_id))
    await asyncio.wait_for(woken.wait(), WAKE_TIMEOUT_S)
    await done(log.drop(META.stream_id))
    with pytest.raises(UnknownStream):
        await read(log)
    with pytest.raises(UnknownStream):
        await write(log, made, 2, chunk(2))
    with pytest.raises(UnknownStream):
        await settle(log.claim(META.stream_id))
    with pytest.raises(UnknownStream):
        await settle(log.describe(META.stream_id))


async def test_a_log_that_never_was_is_unknown(log: StreamLog) -> None:
    """Not an empty one: nobody would ever write to it."""
    with pytest.raises(UnknownStream) as caught:
        await settle(log.read("nowhere", 0, LIMIT))
    assert caught.value.stream_id == "nowhere"
    with pytest.raises(UnknownStream):
        log.watch("nowhere", lambda: None)


async def test_the_level_of_durability_is_named(log: StreamLog) -> None:
    """The bot is told what an ACK survives, in a word of the protocol."""
    assert log.durability in {"memory", "redis", "redis+wait"}
