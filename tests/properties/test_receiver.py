"""Properties of the receiver over whatever a bot, a link and a failing node can do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.events import (
    Abort,
    Ack,
    BotBack,
    BotLost,
    Chunk,
    End,
    Message,
    Overlapped,
    Part,
    Stop,
    Summary,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.rangeset import RangeSet
from relay.protocol.status import Outcome, Status
from relay.protocol.surrogates import code_units, join_halves
from tests.simulation import checkers
from tests.simulation.checkers import Evidence, check
from tests.support.core import PARTS, Performer, end_of, summary_of

TINY = Limits(window=3, held_bytes_max=3 * CHUNK_COST_BYTES, gap_s=1.0, bot_grace_s=0.5, idle_s=4.0)
SMALL = Limits(window=6, held_bytes_max=5 * CHUNK_COST_BYTES, stream_bytes_max=700)


@dataclass(frozen=True, slots=True)
class Run:
    """What a bot says, what reaches the relay of it and when, and the relay's limits."""

    texts: tuple[str, ...]
    script: tuple[tuple[float, Message], ...]
    limits: Limits
    can_resend: bool
    parts: Mapping[int, Part] = field(default_factory=dict)

    def performer(self) -> Performer:
        """A fresh stream."""
        return Performer(limits=self.limits, can_resend=self.can_resend)

    def play(self, performer: Performer, start: int = 0, stop: int | None = None) -> Performer:
        """Play a part of the script, with every timer in its time."""
        for at, message in self.script[start:stop]:
            performer.advance(at)
            performer.receive(message, at)
        return performer


@st.composite
def answers(draw: st.DrawFn, max_size: int = 9) -> tuple[str, ...]:
    """A text, cut anywhere: through the middle of an emoji, and into nothing."""
    text = code_units(draw(st.text("a 你\n🦞\u3000🎉", max_size=3 * max_size)))
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=max_size - 1).map(sorted))
    edges = [0, *cuts, len(text)]
    return tuple(text[a:b] for a, b in pairwise(edges))


def parts_of(texts: Sequence[str]) -> st.SearchStrategy[dict[int, Part]]:
    """What some chunks carry, whether they have text or none."""
    return st.dictionaries(st.integers(0, len(texts) - 1), st.sampled_from(PARTS), max_size=3)


def chunks_of(texts: Sequence[str], parts: Mapping[int, Part]) -> st.SearchStrategy[Message]:
    """Any chunk of the answer."""
    return st.integers(0, len(texts) - 1).map(lambda s: Chunk(texts[s], s, parts.get(s)))


def ends_of(texts: Sequence[str]) -> st.SearchStrategy[Message]:
    """The end, with and without a count."""
    return st.sampled_from([End(), end_of(texts)])


def summaries_of(texts: Sequence[str]) -> st.SearchStrategy[Message]:
    """True, or false in a way that can be seen."""
    true = summary_of(texts)
    lies = [
        Summary(true.total_content, true.total_chunks, "0"),
        Summary(true.total_content + "!", true.total_chunks, true.content_hash),
        Summary(true.total_content, true.total_chunks + 40, true.content_hash),
    ]
    return st.sampled_from([true, true, *lies])


LINK: st.SearchStrategy[Message] = st.sampled_from(
    [BotLost(), BotBack(can_resend=True), BotBack(can_resend=False)]
)


@st.composite
def runs(draw: st.DrawFn, *, link: bool = True, summaries: bool = True, wild: bool = False) -> Run:
    """Messages in any order, any number of times, with pauses that pass deadlines."""
    texts = draw(answers())
    parts = draw(parts_of(texts))
    kinds = [*[chunks_of(texts, parts)] * 4, ends_of(texts)]
    if summaries:
        kinds.append(summaries_of(texts))
    if link:
        kinds.append(LINK)
    if wild:
        kinds.append(st.builds(Abort, st.just("no"), st.text("a\ud83e\udd9e", max_size=3)))
        kinds.append(st.sampled_from([Overlapped(), Stop(Outcome.CANCELLED)]))
        kinds.append(st.text(max_size=3).map(Chunk))
    pauses = st.sampled_from([0.0, 0.0, 0.01, 0.2, 0.6, 1.5])
    at, script = 0.0, []
    for pause, message in draw(st.lists(st.tuples(pauses, st.one_of(kinds)), max_size=30)):
        at += pause
        script.append((at, message))
    limits = draw(st.sampled_from([Limits(), TINY, SMALL]))
    return Run(texts, tuple(script), limits, draw(st.booleans()), parts)


def evidence(run: Run, performer: Performer) -> Evidence:
    """What the checkers judge."""
    return Evidence(run.texts, performer.steps, run.limits, parts=run.parts)


@given(st.data(), answers(), st.booleans())
def test_any_order_and_duplication_gives_the_same_text_and_parts(
    data: st.DataObject, texts: tuple[str, ...], can_resend: bool
) -> None:
    """All chunks at least once, in whatever order, with the end wherever it falls."""
    sequences = list(range(len(texts)))
    parts = data.draw(parts_of(texts))
    again = data.draw(st.lists(st.sampled_from(sequences), max_size=10))
    order = data.draw(st.permutations(sequences + again))
    place = data.draw(st.integers(0, len(order)))
    performer = Performer(can_resend=can_resend)
    for index, sequence in enumerate(order):
        if index == place:
            performer.receive(end_of(texts), 1.0)
        performer.receive(Chunk(texts[sequence], sequence, parts.get(sequence)), 1.0)
    performer.receive(end_of(texts), 1.0)
    check(Evidence(texts, performer.steps, performer.limits, parts=parts))
    assert performer.text == join_halves("", "".join(texts))[0]
    assert performer.delivered == sequences
    assert performer.report.status is Status.COMPLETED
    assert performer.acked == order


@given(answers(), st.booleans())
def test_unnumbered_chunks_are_the_text_in_the_order_of_their_arrival(
    texts: tuple[str, ...], overlapped: bool
) -> None:
    """No matter which numbers they carry once streams overlap."""
    performer = Performer()
    if overlapped:
        performer.receive(Overlapped(), 0.5)
    for text in texts:
        performer.receive(Chunk(text, 7 if overlapped else None), 1.0)
    performer.receive(End(), 2.0)
    assert performer.finish().status is Status.COMPLETED
    assert performer.text == join_halves("", "".join(texts))[0]


@settings(max_examples=400)
@given(runs())
def test_every_invariant_holds_whatever_comes(run: Run) -> None:
    """Each checker of the simulation, at the end of any run."""
    performer = run.play(run.performer())
    performer.finish()
    check(evidence(run, performer))


@settings(max_examples=200)
@given(runs(wild=True))
def test_an_end_is_the_end_whatever_comes(run: Run) -> None:
    """Aborts, stops, overlaps and unnumbered chunks too: offsets, one end, an answer for each."""
    performer = run.play(run.performer())
    performer.finish()
    run.play(performer)
    for checker in (
        checkers.offsets_have_no_holes,
        checkers.one_end_and_nothing_behind_it,
        checkers.every_entry_is_well_formed,
        checkers.sequences_increase,
        checkers.status_only_climbs,
        checkers.nothing_is_dropped_in_silence,
    ):
        checker(evidence(run, performer))


@given(runs())
def test_what_is_accepted_is_in_the_log_or_held_at_every_moment(run: Run) -> None:
    """The receiver's own account, the effects, and the ACKs agree after each message."""
    performer = run.performer()
    acked: set[int] = set()
    for place in range(len(run.script)):
        run.play(performer, place, place + 1)
        receiver = performer.receiver
        acked |= {e.sequence for e in performer.effects if isinstance(e, Ack) and e.sequence}
        stored = set(performer.delivered) | set(performer.held)
        assert receiver.received == RangeSet(performer.held).ranges()
        assert receiver.next_offset == len(performer.log) + 1
        assert all(sequence < receiver.next_sequence for sequence in acked - stored)
        assert not set(performer.delivered) & set(performer.held)
        assert receiver.credit >= 1


@settings(max_examples=400)
@given(st.data(), runs(link=False, summaries=False))
def test_a_takeover_anywhere_gives_the_same_future(data: st.DataObject, run: Run) -> None:
    """The same entries as without it; a summary that comes later is judged alike."""
    cut = data.draw(st.integers(0, len(run.script)))
    if data.draw(st.booleans()):
        at = run.script[-1][0] if run.script else 0.0
        late = (
            at + data.draw(st.sampled_from([0.0, 0.1, 5.0])),
            data.draw(summaries_of(run.texts)),
        )
        run = replace(run, script=(*run.script, late))
        cut = min(cut, len(run.script) - 1)
    calm = run.play(run.performer())
    disturbed = run.play(run.performer(), 0, cut)
    before = disturbed.receiver
    disturbed.take_over()
    was_finished = before.finished
    assert disturbed.receiver.finished is was_finished
    if not was_finished:
        assert disturbed.receiver.status is before.status
        assert disturbed.receiver.next_sequence == before.next_sequence
    run.play(disturbed, cut)
    calm.finish()
    disturbed.finish()
    assert disturbed.log == calm.log
    restored, original = disturbed.receiver.report(), calm.receiver.report()
    if was_finished:
        return  # what came late before the takeover is in no log
    assert restored.missing == original.missing
    assert (restored.outcome, restored.ended_at) == (original.outcome, original.ended_at)


@given(runs(link=False, summaries=False))
def test_a_takeover_moves_no_deadline(run: Run) -> None:
    """Only the reminder of a protocol-2 bot is forgotten: its new owner asks anew."""
    legacy = replace(run, can_resend=False)
    performer = legacy.performer()
    for place in range(len(legacy.script)):
        legacy.play(performer, place, place + 1)
        due = performer.receiver.next_deadline()
        performer.take_over()
        assert performer.receiver.next_deadline() == due


@given(runs())
def test_an_early_timer_does_nothing(run: Run) -> None:
    """And the one that is due always makes progress, so that no shell spins."""
    performer = run.performer()
    for place, (at, _) in enumerate(run.script):
        run.play(performer, place, place + 1)
        due = performer.receiver.next_deadline()
        if due is None:
            assert performer.receiver.handle_timer(at + 1e6) == []
        elif due > at:
            assert performer.receiver.handle_timer(at) == []
            middle = (at + due) / 2
            # Between two neighbouring numbers there is none: their middle is one of them.
            assert middle == due or performer.receiver.handle_timer(middle) == []
            assert performer.receiver.next_deadline() == due
    for _ in range(1000):
        due = performer.receiver.next_deadline()
        if due is None:
            break
        performer.advance(due)
    assert performer.receiver.finished
