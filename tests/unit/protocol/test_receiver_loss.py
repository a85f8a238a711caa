"""Losses: repaired exactly by a true summary, told honestly without one, never invented."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from relay.protocol.events import (
    Ack,
    Amend,
    Append,
    Chunk,
    End,
    EntryKind,
    Finish,
    Message,
    Refuse,
    Summary,
)
from relay.protocol.forensics import LossPosition, locate
from relay.protocol.limits import Limits
from relay.protocol.rangeset import RangeSet
from relay.protocol.report import Disagreement, RepairedBy
from relay.protocol.status import Outcome, Status
from relay.protocol.texthash import content_hash
from tests.support.core import Performer, end_of, send, summary_of
from tests.support.incident import load_incident

TEXTS = load_incident()[1].chunks
WHOLE = "".join(TEXTS)

LOSSES = {
    "head": ([0, 1, 2], LossPosition.HEAD),
    "middle": ([20, 21, 30], LossPosition.MIDDLE),
    "tail": ([57, 58, 59], LossPosition.TAIL),
    "mixed": ([0, 1, 17, 40, 58, 59], LossPosition.MIXED),
    "a single chunk": ([31], LossPosition.MIDDLE),
    "the first": ([0], LossPosition.HEAD),
    "the last": ([59], LossPosition.TAIL),
    "each second": (list(range(0, 60, 2)), LossPosition.MIXED),
    "all": (list(range(60)), LossPosition.MIXED),
}
losses = pytest.mark.parametrize("lost", [loss for loss, _ in LOSSES.values()], ids=LOSSES)


def run(lost: list[int], *, can_resend: bool = False) -> Performer:
    """A stream that never gets the chunks of `lost`; the last one of the others comes at 1.06."""
    performer = Performer(can_resend=can_resend)
    send(performer, TEXTS, [s for s in range(60) if s not in lost])
    return performer


@losses
@pytest.mark.parametrize("when", ["before the end", "after the end"])
def test_a_true_summary_repairs_any_loss_exactly(lost: list[int], when: str) -> None:
    """The text is whole, the trace keeps what was missing, and it stays an anomaly."""
    performer = run(lost)
    messages: list[Message] = [summary_of(TEXTS), End()]
    for message in messages if when == "before the end" else reversed(messages):
        performer.receive(message, 2.0)
    assert performer.text == WHOLE
    assert performer.end.at == 2.0
    report = performer.report
    assert (report.outcome, report.status) == (Outcome.REPAIRED, Status.ANOMALY)
    assert (report.repaired_by, report.disagreement) == (RepairedBy.SUMMARY, None)
    assert report.missing == RangeSet(lost).ranges()
    assert report.total_chunks == 60


@losses
def test_a_repair_and_the_end_that_it_justifies_are_one_append(lost: list[int]) -> None:
    """Torn by a failure between the two, the text would be shown twice."""
    performer = run(lost)
    performer.receive(End(), 2.0)
    effects = performer.receive(summary_of(TEXTS), 2.001)
    append, finish = effects
    assert isinstance(append, Append)
    assert isinstance(finish, Finish)
    assert EntryKind.REPAIR in [entry.kind for entry in append.entries]
    assert append.entries[-1].kind is EntryKind.END


@pytest.mark.parametrize(("lost", "position"), LOSSES.values(), ids=LOSSES)
def test_without_a_summary_the_end_comes_when_the_barrier_is_over(
    lost: list[int], position: LossPosition
) -> None:
    """Exactly 2.0 s after `stream_end`: what is here in order, and a report of what is not."""
    performer = Performer(can_resend=True)
    send(performer, TEXTS, [s for s in range(60) if s not in lost])
    performer.receive(end_of(TEXTS), 2.0)
    performer.advance(3.999)
    assert not performer.receiver.finished
    report = performer.finish()
    assert performer.end.at == 4.0
    assert performer.delivered == [s for s in range(60) if s not in lost]
    assert performer.text == "".join(TEXTS[s] for s in range(60) if s not in lost)
    assert (report.outcome, report.status) == (Outcome.INCOMPLETE, Status.ANOMALY)
    assert report.missing == RangeSet(lost).ranges()
    assert locate(report.missing, report.total_chunks) is position
    assert report.received == 60 - len(lost)
    assert report.repaired_by is None


def test_the_last_chunks_lost_by_a_legacy_bot_without_a_summary_cannot_be_known() -> None:
    """N is guessed too low: 57 of 57 look complete, and the report says that n is a guess."""
    performer = run([57, 58, 59])
    performer.receive(End(), 2.0)
    report = performer.finish()
    assert (report.total_chunks, report.total_known) == (57, False)
    assert report.missing == ()


def forge(text: str = WHOLE, *, total: int = 60, hash_: str | None = "true") -> Summary:
    """A summary that is true but for what is given; its hash fits its text unless it is given."""
    return Summary(text, total, content_hash(text) if hash_ == "true" else hash_)


SWAPPED = "".join([*TEXTS[:50], "被换掉了", *TEXTS[51:]])
LIES = {
    "a wrong hash": (forge(hash_="0"), Disagreement.HASH),
    "no hash": (forge(hash_=None), Disagreement.HASH),
    "a count below what was seen": (forge(total=59), Disagreement.COUNT),
    "more lost chunks than characters": (forge(total=1060), Disagreement.COUNT),
    "an absurd count": (forge(total=10**9), Disagreement.COUNT),
    "a wrong prefix": (forge("X" + WHOLE[1:]), Disagreement.PREFIX),
    "a text shorter than the prefix": (forge("今"), Disagreement.PREFIX),
    "no text": (forge(""), Disagreement.PREFIX),
    "another text for what is held": (forge(SWAPPED), Disagreement.CONTENT),
}


@pytest.mark.parametrize(("lie", "why"), LIES.values(), ids=LIES)
@pytest.mark.parametrize("when", ["before the end", "after the end"])
def test_a_summary_that_disagrees_is_recorded_and_never_shown(
    lie: Summary, why: Disagreement, when: str
) -> None:
    """The stream ends at its deadline with what arrived, and not one invented character."""
    lost = [30, 31]
    performer = run(lost)
    for message in (lie, End()) if when == "before the end" else (End(), lie):
        performer.receive(message, 2.0)
    report = performer.finish()
    assert performer.end.at == 4.0
    assert performer.text == "".join(TEXTS[s] for s in range(60) if s not in lost)
    assert EntryKind.REPAIR not in performer.kinds
    assert report.disagreement is why
    assert (report.outcome, report.status) == (Outcome.INCOMPLETE, Status.ANOMALY)
    assert RangeSet(lost).ranges()[0] in report.missing


def test_a_summary_that_contradicts_the_end_is_not_believed() -> None:
    """`stream_end` stated 60; a summary of 61 chunks may hash right and is still not true."""
    performer = run([59], can_resend=True)
    performer.receive(end_of(TEXTS), 2.0)
    performer.receive(replace(summary_of(TEXTS), total_chunks=61), 2.0)
    report = performer.finish()
    assert report.disagreement is Disagreement.COUNT
    assert (report.total_chunks, report.missing) == (60, ((59, 59),))
    assert EntryKind.REPAIR not in performer.kinds


def test_a_false_summary_of_a_whole_answer_is_an_anomaly() -> None:
    """Nothing is missing, but the bot and the relay do not agree on what was said."""
    performer = run([])
    performer.receive(End(), 2.0)
    performer.receive(forge(hash_="0"), 2.0)
    report = performer.finish()
    assert performer.text == WHOLE
    assert (report.outcome, report.status) == (Outcome.COMPLETED, Status.ANOMALY)
    assert report.disagreement is Disagreement.HASH


def test_a_true_summary_after_a_false_one_is_believed() -> None:
    """The later word of the bot counts while the barrier holds."""
    performer = run([30])
    performer.receive(End(), 2.0)
    performer.receive(forge(hash_="0"), 2.1)
    performer.receive(summary_of(TEXTS), 2.2)
    assert performer.text == WHOLE
    assert performer.report.disagreement is None


def test_a_summary_repairs_a_protocol_2_stream_only_at_the_deadline() -> None:
    """The bot can still send the chunk itself, which is better than a repair."""
    performer = run([30], can_resend=True)
    performer.receive(end_of(TEXTS), 2.0)
    performer.receive(summary_of(TEXTS), 2.0)
    assert not performer.receiver.finished
    performer.finish()
    assert performer.end.at == 4.0
    assert performer.text == WHOLE
    assert performer.report.outcome is Outcome.REPAIRED


def test_a_chunk_that_completes_the_prefix_lets_the_summary_repair_the_rest() -> None:
    """The chunk is acknowledged behind its own append; repair and end follow in one."""
    performer = run([30, 59])
    performer.receive(replace(summary_of(TEXTS), total_content="no"), 2.0)
    performer.receive(End(), 2.0)
    performer.receive(Chunk(TEXTS[30], 30), 2.1)
    performer.receive(summary_of(TEXTS), 2.2)
    assert performer.text == WHOLE
    assert performer.report.missing == ((59, 59),)


def test_a_summary_that_the_overtaken_chunks_follow_shows_nothing_twice() -> None:
    """The old system sent the repair and then the late chunks: a doubled tail."""
    performer = run([57, 58, 59])
    performer.receive(End(), 2.0)
    performer.receive(summary_of(TEXTS), 2.001)
    for sequence in (57, 58, 59):
        effects = performer.receive(Chunk(TEXTS[sequence], sequence), 2.002)
        assert [type(effect) for effect in effects] == [Ack, Amend]
    assert performer.text == WHOLE
    assert performer.report.late == ((57, 59),)


def test_a_late_summary_amends_the_report() -> None:
    """The end is written, but now it is known that the tail was lost."""
    performer = run([57, 58, 59])
    performer.receive(End(), 2.0)
    assert performer.finish().status is Status.COMPLETED
    (amend,) = performer.receive(summary_of(TEXTS), 9.0)
    assert isinstance(amend, Amend)
    report = amend.report
    assert (report.missing, report.total_chunks) == (((57, 59),), 60)
    assert (report.status, report.disagreement) == (Status.ANOMALY, None)
    assert performer.receive(summary_of(TEXTS), 9.1) == []
    assert len(performer.text) < len(WHOLE)


def test_a_late_false_summary_is_an_anomaly() -> None:
    """It changes the trace and nothing else."""
    performer = run([])
    performer.receive(End(), 2.0)
    performer.finish()
    performer.receive(forge("X" + WHOLE[1:]), 9.0)
    assert performer.report.disagreement is Disagreement.PREFIX
    assert performer.report.status is Status.ANOMALY


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
def test_a_true_summary_tells_a_loss_that_is_longer_than_the_window(late: bool) -> None:
    """Its text proves its count, however far that lies beyond what was seen."""
    performer = Performer(limits=Limits(window=8))
    send(performer, TEXTS, range(10))
    performer.receive(End(), 2.0)
    if late:
        performer.finish()
    performer.receive(summary_of(TEXTS), 2.1)
    assert performer.report.missing == ((10, 59),)
    assert performer.report.total_chunks == 60
    assert performer.text == ("".join(TEXTS[:10]) if late else WHOLE)


def test_an_absurd_count_of_a_false_summary_is_no_n() -> None:
    """A count that nothing proves must not make a million chunks missing."""
    performer = Performer(limits=Limits(window=8))
    send(performer, TEXTS, range(10))
    performer.receive(End(), 2.0)
    performer.receive(forge(total=10**9), 2.0)
    report = performer.finish()
    assert (report.total_chunks, report.missing) == (10, ())
    assert report.status is Status.ANOMALY


def test_nothing_is_repaired_once_a_gap_was_given_up() -> None:
    """The device has seen past the gap, so what it has is no prefix any more."""
    performer = run([30])
    performer.advance(20.0)
    performer.receive(End(), 20.0)
    performer.receive(summary_of(TEXTS), 20.0)
    report = performer.finish()
    assert performer.text == "".join([*TEXTS[:30], "\u2026", *TEXTS[31:]])
    assert (report.outcome, report.missing) == (Outcome.INCOMPLETE, ((30, 30),))


def test_a_false_summary_never_hastens_the_end() -> None:
    """Its count is no n, so an overtaken chunk still has its place for as long as a guess waits."""
    performer = Performer()
    send(performer, TEXTS, [0, 1])
    performer.receive(Summary("something else", 2, "0"), 2.0)
    performer.receive(End(), 2.0)
    assert not performer.receiver.finished
    performer.receive(Chunk(TEXTS[2], 2), 2.1)
    report = performer.finish()
    assert performer.text == "".join(TEXTS[:3])
    assert (report.missing, report.disagreement) == ((), Disagreement.HASH)


def test_the_count_of_a_false_summary_raises_the_guess() -> None:
    """Its text is not believed, but that chunks are missing is not passed over in silence."""
    performer = run([57, 58, 59])
    performer.receive(End(), 2.0)
    performer.receive(Summary(WHOLE, 60, "0"), 2.0)
    report = performer.finish()
    assert performer.end.at == 4.0
    assert performer.text == "".join(TEXTS[:57])
    assert (report.missing, report.total_known) == (((57, 59),), False)


def test_a_refused_legacy_chunk_is_an_anomaly() -> None:
    """It was sent and never shown, though no sequence is known to be missing."""
    performer = Performer(limits=Limits(window=8))
    send(performer, TEXTS, [0, 1, 2])
    performer.receive(Chunk("far", 50), 1.1)
    performer.receive(End(), 2.0)
    report = performer.finish()
    assert (report.status, report.withheld, report.missing) == (Status.ANOMALY, 1, ())


def test_a_chunk_refused_at_first_and_taken_later_is_no_anomaly() -> None:
    """What counts is what became of it."""
    performer = Performer(limits=Limits(window=2), can_resend=True)
    send(performer, TEXTS[:5], [0, 4, 1, 2, 3, 4])
    performer.receive(end_of(TEXTS[:5]), 2.0)
    assert len(performer.refusals) == 1
    assert (performer.report.status, performer.report.withheld) == (Status.COMPLETED, 0)


def test_a_chunk_refused_behind_a_guessed_end_amends_the_trace() -> None:
    """An unnumbered chunk behind the end was not shown: that is a loss, and told once."""
    performer = Performer()
    performer.receive(Chunk("one"), 1.0)
    performer.receive(End(), 2.0)
    assert performer.finish().status is Status.COMPLETED
    effects = performer.receive(Chunk("two"), 3.0)
    assert [type(effect) for effect in effects] == [Refuse, Amend]
    assert performer.report.status is Status.ANOMALY
    assert [type(effect) for effect in performer.receive(Chunk("three"), 3.1)] == [Refuse]


def test_the_hash_of_the_end_is_held_against_the_text() -> None:
    """All chunks are there and their text is not the bot's: an anomaly without a gap."""
    performer = Performer(can_resend=True)
    send(performer, TEXTS, range(60))
    performer.receive(End(60, content_hash(WHOLE + "!")), 2.0)
    report = performer.report
    assert (report.outcome, report.missing) == (Outcome.COMPLETED, ())
    assert (report.status, report.disagreement) == (Status.ANOMALY, Disagreement.HASH)
