"""Chunks that come together, in their order: the same as one after the other, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.events import (
    Ack,
    Append,
    BotBack,
    BotLost,
    Chunk,
    End,
    Entry,
    EntryKind,
    Message,
    Overlapped,
    Part,
    PartKind,
    Stop,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.receiver import StreamReceiver
from relay.protocol.status import Outcome
from tests.support.core import summary_of

LIMITS = Limits(window=4, held_bytes_max=4 * CHUNK_COST_BYTES, stream_bytes_max=1200, gap_s=2.0)
PART = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')


def receiver(*, can_resend: bool = True) -> StreamReceiver:
    """A stream that begins."""
    return StreamReceiver(LIMITS, opened_at=0.0, can_resend=can_resend)


def timers(stream: StreamReceiver, now: float) -> list[object]:
    """What comes of the time."""
    return [
        part
        for effect in stream.handle_timer(now)
        for part in (effect.entries if isinstance(effect, Append) else [effect])
    ]


def one_by_one(stream: StreamReceiver, messages: Sequence[Message], now: float) -> list[object]:
    """What comes of each message alone: entries, and everything but writes."""
    found: list[object] = []
    for message in messages:
        for effect in stream.receive(message, now):
            found.extend(effect.entries if isinstance(effect, Append) else [effect])
    return found


def together(stream: StreamReceiver, messages: list[Message], now: float) -> list[object]:
    """What comes of the chunks taken in one go, where they are taken."""
    chunks = [message for message in messages if isinstance(message, Chunk)]
    entries = stream.receive_next(chunks, now) if len(chunks) == len(messages) else None
    if entries is None:
        return one_by_one(stream, messages, now)
    return [*entries, *(Ack(chunk.sequence) for chunk in chunks)]


TEXTS = st.sampled_from(["", "a", "嘿。", "\ud83e", "\udd9e", "x" * 60])
CHUNKS = st.builds(
    Chunk, TEXTS, st.none() | st.integers(0, 12), st.sampled_from([None, None, None, PART])
)
OTHERS: st.SearchStrategy[Message] = st.sampled_from(
    [
        *(BotLost(), BotBack(can_resend=True), BotBack(can_resend=False), Overlapped()),
        *(End(), End(3), End(8, "61"), Stop(Outcome.CANCELLED), summary_of(["a", "嘿。", "a"])),
    ]
)


@st.composite
def groups(draw: st.DrawFn) -> list[list[Message]]:
    """What one read of a socket brings, again and again: mostly the next chunks."""
    found: list[list[Message]] = []
    sequence = 0
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.integers(0, 5))
        if kind == 0:
            found.append([draw(OTHERS)])
        elif kind == 1:
            found.append(list(draw(st.lists(CHUNKS, min_size=1, max_size=4))))
        else:
            texts = draw(st.lists(TEXTS, min_size=1, max_size=4))
            found.append([Chunk(text, sequence + at) for at, text in enumerate(texts)])
            sequence += len(texts)
    return found


@given(groups(), st.booleans())
def test_taken_together_or_one_by_one_a_stream_is_the_same(
    script: list[list[Message]], can_resend: bool
) -> None:
    """The same log, the same answers, the same deadlines, the same report."""
    one, all_at_once = receiver(can_resend=can_resend), receiver(can_resend=can_resend)
    for at, messages in enumerate(script):
        now = at * 1.0
        expected = [*timers(one, now), *one_by_one(one, messages, now)]
        got = [*timers(all_at_once, now), *together(all_at_once, messages, now)]
        assert sorted(map(repr, got)) == sorted(map(repr, expected))
        assert [one for one in got if isinstance(one, Entry)] == [
            one for one in expected if isinstance(one, Entry)
        ]
        assert all_at_once.next_deadline() == one.next_deadline()
        assert all_at_once.facts == one.facts
        assert (all_at_once.status, all_at_once.size_bytes) == (one.status, one.size_bytes)
    now = len(script) * 1.0
    for stream in (one, all_at_once):
        stream.receive(Stop(Outcome.IDLE), now)
    assert all_at_once.report() == one.report()


def test_the_next_chunks_are_one_write() -> None:
    """The usual case is really taken."""
    stream = receiver()
    assert stream.receive_next([Chunk("a", 0), Chunk("嘿", 1)], 1.0) == [
        Entry(1, EntryKind.CHUNK, 1.0, "a", 0),
        Entry(2, EntryKind.CHUNK, 1.0, "嘿", 1),
    ]
    assert stream.receive_next([Chunk("b", 2)], 2.0) == [Entry(3, EntryKind.CHUNK, 2.0, "b", 2)]
    assert (stream.next_sequence, stream.received_count) == (3, 3)


@pytest.mark.parametrize(
    "chunks",
    [
        [Chunk("b", 2)],
        [Chunk("a", 0)],
        [Chunk("b", 1), Chunk("d", 3)],
        [Chunk("b", 1), Chunk("b", 1)],
        [Chunk("b", None)],
        [Chunk("b", 1, PART)],
        [Chunk("\ud83e", 1)],
        [Chunk("x" * 600, 1), Chunk("x" * 600, 2)],
    ],
    ids=["gap", "again", "gap within", "twice", "no number", "part", "half a character", "full"],
)
def test_what_is_unusual_is_left_alone(chunks: list[Chunk]) -> None:
    """Nothing has changed then."""
    stream, same = receiver(), receiver()
    for one in (stream, same):
        one.receive(Chunk("a", 0), 1.0)
    assert stream.receive_next(chunks, 2.0) is None
    assert one_by_one(stream, list(chunks), 2.0) == one_by_one(same, list(chunks), 2.0)


@pytest.mark.parametrize(
    "before",
    [
        [Chunk("c", 2)],
        [Chunk("\ud83e", 0)],
        [End(1)],
        [Chunk("x" * 2000, 0)],
    ],
    ids=["held", "half a character", "ended", "withheld"],
)
@pytest.mark.parametrize("can_resend", [True, False], ids=["reliable", "legacy"])
def test_a_stream_that_is_not_plain_takes_none_together(
    before: list[Message], *, can_resend: bool
) -> None:
    """Each goes its own way."""
    stream = receiver(can_resend=can_resend)
    one_by_one(stream, before, 1.0)
    assert stream.receive_next([Chunk("n", stream.next_sequence)], 2.0) is None


@pytest.mark.parametrize("before", [[Chunk("a")], [Chunk("a", 0), Overlapped()]])
def test_what_is_numbered_by_arrival_is_taken_together_where_its_bot_counts_alike(
    before: list[Message],
) -> None:
    """One socket with several streams of a legacy bot is nothing unusual."""
    stream = receiver(can_resend=False)
    one_by_one(stream, before, 1.0)
    assert stream.receive_next([Chunk("b", 7)], 2.0) is None
    assert stream.receive_next([Chunk("b", 1), Chunk("c", 2)], 2.0) == [
        Entry(2, EntryKind.CHUNK, 2.0, "b", 1),
        Entry(3, EntryKind.CHUNK, 2.0, "c", 2),
    ]


def test_the_first_chunk_behind_a_gap_that_was_given_up_goes_its_own_way() -> None:
    """It ends the asking for what will not come any more."""
    stream = receiver()
    one_by_one(stream, [Chunk("a", 0), Chunk("c", 2)], 1.0)
    timers(stream, 4.0)
    assert stream.next_sequence == 3
    assert stream.receive_next([Chunk("d", 3)], 4.1) is None
    one_by_one(stream, [Chunk("d", 3)], 4.1)
    assert stream.receive_next([Chunk("e", 4)], 4.2) is not None
