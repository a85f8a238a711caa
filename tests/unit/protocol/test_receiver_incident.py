"""The recorded incident on the core alone: the old system delivered 57 of 60."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from relay.protocol.events import BotBack, BotLost, Chunk, End, EntryKind, Hold, Message
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, end_of, send, summary_of
from tests.support.incident import ALPHABET, Turn, load_incident

TURNS = load_incident()


@dataclass(frozen=True, slots=True)
class Kind:
    """What one SDK version puts on the wire."""

    name: str
    numbered: bool
    ends: int
    summary: bool


KINDS = (
    Kind("2.0.x", numbered=False, ends=1, summary=False),
    Kind("2.3.7", numbered=False, ends=2, summary=False),
    Kind("2.3.10", numbered=True, ends=2, summary=False),
    Kind("2.3.12", numbered=True, ends=2, summary=True),
    Kind("2.3.13", numbered=True, ends=1, summary=True),
    Kind("2.4.0", numbered=True, ends=1, summary=True),
)


def messages(turn: Turn, kind: Kind) -> Iterator[tuple[float, Message]]:
    """The turn as recorded, as this kind of bot sends it.

    Without numbers nobody can undo a swap, so such a bot's frames come in their own order.
    """
    chunks = [frame for frame in turn.frames if frame.sequence is not None]
    for frame, content in zip(chunks, turn.chunks, strict=True):
        if kind.numbered:
            yield frame.at, Chunk(frame.content, frame.sequence)
        else:
            yield frame.at, Chunk(content)
    for frame in turn.ends[: kind.ends]:
        yield frame.at, End()
    if kind.summary:
        yield turn.ends[kind.ends - 1].at, summary_of(turn.chunks)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("turn", TURNS, ids=("3 chunks", "60 chunks"))
def test_the_incident_arrives_whole_from_every_legacy_bot(turn: Turn, kind: Kind) -> None:
    """3 of 3 and 60 of 60, the text equal, each chunk an entry, whatever the order was."""
    performer = Performer()
    for at, message in messages(turn, kind):
        performer.advance(at)
        performer.receive(message, at)
    report = performer.finish()
    assert performer.text == turn.text
    assert performer.delivered == list(range(len(turn.chunks)))
    assert report.outcome is Outcome.COMPLETED
    assert report.status is Status.COMPLETED
    assert (report.missing, report.total_chunks) == ((), len(turn.chunks))
    assert len(performer.acked) == len(turn.chunks)
    assert report.arrivals[0].at == turn.frames[0].at


@pytest.mark.parametrize("turn", TURNS, ids=("3 chunks", "60 chunks"))
def test_the_incident_arrives_whole_from_a_protocol_2_bot(turn: Turn) -> None:
    """The stated n is complete, so the end closes the stream in the same instant."""
    performer = Performer(can_resend=True)
    for frame in turn.frames:
        if frame.sequence is not None:
            performer.receive(Chunk(frame.content, frame.sequence), frame.at)
    performer.receive(end_of(turn.chunks), turn.ends[0].at)
    assert performer.text == turn.text
    assert performer.end.at == turn.ends[0].at
    assert performer.report.status is Status.COMPLETED


@pytest.mark.parametrize("overtaken", [1, 2, 3])
@pytest.mark.parametrize("kind", [k for k in KINDS if k.numbered], ids=lambda kind: kind.name)
def test_an_end_that_overtakes_the_last_chunks_loses_none(kind: Kind, overtaken: int) -> None:
    """The incident itself: the end is popped ahead of three chunks, in any order of these."""
    turn = TURNS[1]
    performer = Performer()
    sent = list(messages(turn, kind))
    chunks = [pair for pair in sent if isinstance(pair[1], Chunk)]
    rest = [pair for pair in sent if not isinstance(pair[1], Chunk)]
    late = [(5.5735, message) for _, message in reversed(chunks[-overtaken:])]
    for at, message in [*chunks[:-overtaken], rest[0], *late, *rest[1:]]:
        performer.advance(at)
        performer.receive(message, at)
    report = performer.finish()
    assert performer.text == turn.text
    assert (report.outcome, report.status) == (Outcome.COMPLETED, Status.COMPLETED)
    assert report.missing == ()


def test_a_guessed_n_closes_a_moment_after_the_end() -> None:
    """Nobody states n and nothing is missing: 0.15 s are left for a summary, no more."""
    turn = TURNS[1]
    performer = Performer()
    send(performer, turn.chunks, range(60))
    performer.receive(End(), 5.0)
    performer.receive(End(), 5.01)
    report = performer.finish()
    assert performer.end.at == pytest.approx(5.15)
    assert not report.total_known


def test_a_chunk_behind_the_end_renews_the_guess() -> None:
    """The moment counts from the last chunk: where one was overtaken there may be more."""
    turn = TURNS[1]
    performer = Performer()
    send(performer, turn.chunks, range(58))
    performer.receive(End(), 5.0)
    performer.advance(5.1)
    performer.receive(Chunk(turn.chunks[58], 58), 5.1)
    performer.advance(5.2)
    performer.receive(Chunk(turn.chunks[59], 59), 5.2)
    performer.finish()
    assert performer.text == turn.text
    assert performer.end.at == pytest.approx(5.35)


def test_a_broken_connection_makes_the_guess_wait_the_whole_barrier() -> None:
    """A chunk may have gone down with the connection, so a contiguous end waits 2.0 s."""
    turn = TURNS[1]
    performer = Performer()
    send(performer, turn.chunks, range(57))
    performer.receive(BotLost(), 4.0)
    performer.receive(BotBack(can_resend=False), 4.5)
    performer.receive(End(), 5.0)
    performer.finish()
    assert performer.end.at == pytest.approx(7.0)


def test_a_summary_behind_the_end_ends_the_guess_at_once() -> None:
    """2.4.0's summary states n; nothing is missing, so nothing is waited for."""
    turn = TURNS[1]
    performer = Performer()
    send(performer, turn.chunks, range(60))
    performer.receive(End(), 5.0)
    performer.receive(summary_of(turn.chunks), 5.001)
    assert performer.end.at == pytest.approx(5.001)
    assert performer.report.total_known


def test_the_made_up_texts_are_hard() -> None:
    """60 chunks of the recorded lengths, blank ones and emoji among them, none like its like."""
    turn = TURNS[1]
    assert [len(turn.chunks[s]) for s in (0, 1, 2, 59)] == [6, 12, 1, 5]
    assert len(turn.chunks) == 60
    assert any(chunk.isspace() for chunk in turn.chunks)
    assert set("🦞🎉\t\n \u3000") <= set(turn.text) <= set(ALPHABET)


def test_the_swapped_neighbours_of_the_recording_are_held() -> None:
    """Five chunks came before their predecessor: each waits beside the log, none is lost."""
    performer = Performer()
    for at, message in messages(TURNS[1], KINDS[2]):
        performer.receive(message, at)
    held = [effect.chunk.sequence for effect in performer.effects if isinstance(effect, Hold)]
    assert held == [3, 8, 23, 43, 56]
    assert not performer.held
    assert EntryKind.GAP not in performer.kinds
