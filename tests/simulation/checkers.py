"""What must hold of one run of a receiver: one invariant each, judged from the outside.

A checker gets what the bot really said and what was performed, and raises `AssertionError`.
None asks the receiver; only what left it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from relay.protocol.events import (
    Ack,
    Amend,
    Append,
    Chunk,
    End,
    Entry,
    EntryKind,
    Finish,
    Hold,
    Part,
    PartKind,
    RefusalCode,
    Refuse,
    Summary,
)
from relay.protocol.limits import Limits
from relay.protocol.rangeset import expand
from relay.protocol.report import LossReport
from relay.protocol.status import Outcome, Status
from relay.protocol.surrogates import has_surrogates, join_halves
from relay.protocol.texthash import content_hash
from tests.support.core import SHOWN, Step


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run: the truth of the bot, and what the receiver did."""

    texts: Sequence[str]
    """The bot's chunks. Every chunk that it sends is one of these, under its sequence."""
    steps: Sequence[Step]
    limits: Limits
    remembers: bool = True
    """False where another node took over, which knows the log and nothing else."""
    parts: Mapping[int, Part] = field(default_factory=dict)
    """What the bot's chunks carry beside their text, by sequence."""

    @property
    def entries(self) -> list[Entry]:
        """The log."""
        return [entry for append in self.appends() for entry in append.entries]

    @property
    def report(self) -> LossReport | None:
        """The newest report; None while the stream runs."""
        found = [
            effect.report
            for step in self.steps
            for effect in step.effects
            if isinstance(effect, Finish | Amend)
        ]
        return found[-1] if found else None

    def appends(self) -> Iterator[Append]:
        """The appends, in order."""
        for step in self.steps:
            yield from (effect for effect in step.effects if isinstance(effect, Append))

    def text(self, first: int, last: int) -> str:
        """What the bot said in this inclusive range of sequences."""
        return "".join(self.texts[first : last + 1])


def offsets_have_no_holes(evidence: Evidence) -> None:
    """1, 2, 3 ... in the order of the log."""
    offsets = [entry.offset for entry in evidence.entries]
    assert offsets == list(range(1, len(offsets) + 1)), offsets


def one_end_and_nothing_behind_it(evidence: Evidence) -> None:
    """At most one `end` while running, exactly one once a report was given."""
    ends = [entry.kind is EntryKind.END for entry in evidence.entries]
    assert not any(ends[:-1]), "something stands behind the end"
    assert (evidence.report is not None) is (bool(ends) and ends[-1])


def sequences_increase(evidence: Evidence) -> None:
    """Each chunk at most once, in order."""
    delivered = _delivered(evidence)
    assert delivered == sorted(set(delivered)), delivered


def what_is_acknowledged_is_stored(evidence: Evidence) -> None:
    """At the moment of each ACK the chunk is in the log or held, or its place was given up."""
    log: set[int] = set()
    held: set[int] = set()
    given_up = 0
    for step in evidence.steps:
        for effect in step.effects:
            match effect:
                case Append():
                    for entry in effect.entries:
                        if entry.kind is EntryKind.CHUNK and entry.sequence is not None:
                            log.add(entry.sequence)
                        if entry.kind is EntryKind.END:
                            given_up = 1_000_000
                    given_up = max(given_up, max(log, default=-1) + 1)
                case Hold():
                    held.add(effect.chunk.sequence)
                case Ack(sequence) if sequence is not None:
                    stored = sequence in log or sequence in held
                    assert stored or sequence < given_up, f"ACK of {sequence}, which is nowhere"
                case _:
                    pass


def what_is_acknowledged_is_delivered_or_missing(evidence: Evidence) -> None:
    """Once it is over: in the log or in `missing`, never both and never neither."""
    report = evidence.report
    if report is None:
        return
    missing = set(expand(report.missing, 100_000))
    delivered = set(_delivered(evidence))
    assert not missing & delivered, f"both: {sorted(missing & delivered)}"
    acked = {
        effect.sequence
        for step in evidence.steps
        for effect in step.effects
        if isinstance(effect, Ack) and effect.sequence is not None
    }
    assert acked <= missing | delivered, f"neither: {sorted(acked - missing - delivered)}"
    assert missing | delivered == set(range(report.total_chunks))
    assert report.received == len(delivered)
    assert set(expand(report.late, 100_000)) <= missing


def nothing_is_invented(evidence: Evidence) -> None:
    """What is shown is what the bot said, in order, and an ellipsis or nothing for what is lost.

    Which of two equal words a repair takes for the lost one is open, so a repaired text is
    judged as a whole.
    """
    entries = [entry for entry in evidence.entries if entry.kind in SHOWN]
    if EntryKind.REPAIR in {entry.kind for entry in entries}:
        whole, _ = join_halves("", "".join(evidence.texts))
        assert "".join(entry.content for entry in entries) == whole
        return
    carry = ""
    for entry in entries:
        if entry.kind is EntryKind.CHUNK:
            assert entry.sequence is not None
            raw = evidence.texts[entry.sequence]
        else:
            raw = entry.content.removeprefix("\ufffd")
            assert raw in {"", "\u2026"}, f"{raw!r} stands for a gap"
        content, carry = join_halves(carry, raw)
        assert entry.content == content, f"entry {entry.offset} is not what the bot said"


def each_part_is_in_its_place(evidence: Evidence) -> None:
    """With its chunk and nowhere else; the newest suggestions once more with the end."""
    newest: Part | None = None
    for entry in evidence.entries:
        match entry.kind:
            case EntryKind.CHUNK:
                assert entry.sequence is not None
                assert entry.part == evidence.parts.get(entry.sequence), f"entry {entry.offset}"
                if entry.part is not None and entry.part.kind is PartKind.FOLLOW_UP:
                    newest = entry.part
            case EntryKind.END:
                assert entry.part == newest, "the end has other suggestions than the answer"
            case _:
                assert entry.part is None, f"a {entry.kind} with a part"


def every_entry_is_well_formed(evidence: Evidence) -> None:
    """No half of an emoji reaches a device."""
    for entry in evidence.entries:
        assert not has_surrogates(entry.content), f"entry {entry.offset}"


def a_completed_stream_is_whole(evidence: Evidence) -> None:
    """Completed: the text of all n chunks, as many as the end says."""
    end = evidence.entries[-1] if evidence.entries else None
    if end is not None and end.outcome is Outcome.COMPLETED:
        assert end.total_chunks is not None
        shown = "".join(entry.content for entry in evidence.entries if entry.kind in SHOWN)
        assert shown == join_halves("", evidence.text(0, end.total_chunks - 1))[0]


def a_repair_and_its_end_are_one_append(evidence: Evidence) -> None:
    """Torn, a failure between the two repeats text."""
    for append in evidence.appends():
        kinds = [entry.kind for entry in append.entries]
        assert EntryKind.REPAIR not in kinds or kinds[-1] is EntryKind.END


def the_end_is_held(evidence: Evidence) -> None:
    """`stream_end` closes at once only with all of 0..n-1, and else at its deadline, not later."""
    ended_at, stated = _ending(evidence)
    report = evidence.report
    if ended_at is None or report is None or report.ended_at is None:
        return
    end = evidence.entries[-1]
    limit = ended_at + evidence.limits.barrier_s
    assert end.at <= limit + 1e-9, f"held until {end.at}, {end.at - limit} s too long"
    summaries = any(isinstance(step.message, Summary) for step in evidence.steps)
    if end.outcome in {Outcome.COMPLETED, Outcome.INCOMPLETE} and end.at < limit - 1e-9:
        delivered = set(_delivered(evidence))
        before_end = _seen(evidence, end.at)
        count = stated if stated is not None else max(before_end, default=-1) + 1
        gone = EntryKind.GAP in {entry.kind for entry in evidence.entries}
        assert gone or set(range(count)) <= delivered, "closed with something still missing"
        if stated is None and not summaries:
            assert end.at >= ended_at + evidence.limits.guess_s - 1e-9, "a guess was not checked"


def missing_is_what_never_came_in_time(evidence: Evidence) -> None:
    """Of the stated n, or of what was seen; and any loss is an anomaly."""
    report = evidence.report
    if report is None:
        return
    missing = set(expand(report.missing, 100_000))
    assert missing == set(range(report.total_chunks)) - set(_delivered(evidence))
    _, known = _ending(evidence)
    if known is not None and report.ended_at is not None:
        assert report.total_chunks == max(known, max(_seen(evidence), default=-1) + 1)
    assert not missing or report.status is Status.ANOMALY


def status_only_climbs(evidence: Evidence) -> None:
    """From step to step."""
    stages = [step.status for step in evidence.steps]
    assert stages == sorted(stages)


def a_duplicate_is_stored_once(evidence: Evidence) -> None:
    """Neither the log nor the hold takes a sequence twice."""
    held = [e.chunk.sequence for s in evidence.steps for e in s.effects if isinstance(e, Hold)]
    assert len(held) == len(set(held))
    delivered = _delivered(evidence)
    assert len(delivered) == len(set(delivered))


def nothing_is_dropped_in_silence(evidence: Evidence) -> None:
    """Each chunk is answered: an ACK or a refusal."""
    for step in evidence.steps:
        if isinstance(step.message, Chunk):
            answers = [effect for effect in step.effects if isinstance(effect, Ack | Refuse)]
            assert len(answers) == 1, f"{len(answers)} answers to {step.message.sequence}"


def nothing_is_refused_without_a_conflict(evidence: Evidence) -> None:
    """The bot never says two things under one sequence, so nothing can contradict itself.

    A half without a partner is replaced in the log, and a takeover cannot tell what it was.
    """
    for step in evidence.steps:
        if isinstance(step.message, Chunk) and not has_surrogates(step.message.content):
            codes = [effect.code for effect in step.effects if isinstance(effect, Refuse)]
            assert RefusalCode.CONFLICT not in codes, f"{step.message} is no conflict"


def a_lie_is_told(evidence: Evidence) -> None:
    """A summary whose hash is not that of its text is in the report, if it could be compared.

    The bot's last word counts, and what is given up cannot be compared any more.
    """
    report = evidence.report
    gone = {EntryKind.GAP, EntryKind.REPAIR} & {entry.kind for entry in evidence.entries}
    said = [step.message for step in evidence.steps if isinstance(step.message, Summary)]
    if report is None or gone or not said or not evidence.remembers:
        return
    if content_hash(said[-1].total_content) != said[-1].content_hash:
        assert report.disagreement is not None
        assert report.status is Status.ANOMALY


CHECKERS: tuple[Callable[[Evidence], None], ...] = (
    offsets_have_no_holes,
    one_end_and_nothing_behind_it,
    sequences_increase,
    what_is_acknowledged_is_stored,
    what_is_acknowledged_is_delivered_or_missing,
    nothing_is_invented,
    each_part_is_in_its_place,
    every_entry_is_well_formed,
    a_completed_stream_is_whole,
    a_repair_and_its_end_are_one_append,
    the_end_is_held,
    missing_is_what_never_came_in_time,
    status_only_climbs,
    a_duplicate_is_stored_once,
    nothing_is_dropped_in_silence,
    nothing_is_refused_without_a_conflict,
    a_lie_is_told,
)


def check(evidence: Evidence) -> None:
    """Every invariant; the failing checker's name is in the traceback."""
    for checker in CHECKERS:
        checker(evidence)


def violations(evidence: Evidence) -> set[str]:
    """The names of the checkers that are not content."""
    found = set()
    for checker in CHECKERS:
        try:
            checker(evidence)
        except AssertionError:
            found.add(checker.__name__)
    return found


def _delivered(evidence: Evidence) -> list[int]:
    return [
        entry.sequence
        for entry in evidence.entries
        if entry.kind is EntryKind.CHUNK and entry.sequence is not None
    ]


def _ending(evidence: Evidence) -> tuple[float | None, int | None]:
    """When `stream_end` first came, and the first n that it stated, while the stream was open."""
    ended_at: float | None = None
    stated: int | None = None
    for step in evidence.steps:
        if isinstance(step.message, End):
            ended_at = step.now if ended_at is None else ended_at
            stated = step.message.total_chunks if stated is None else stated
        if any(isinstance(effect, Finish) for effect in step.effects):
            break
    return ended_at, stated


def _seen(evidence: Evidence, until: float = float("inf")) -> set[int]:
    """The sequences of the chunks that were acknowledged until then."""
    return {
        effect.sequence
        for step in evidence.steps
        for effect in step.effects
        if isinstance(effect, Ack) and effect.sequence is not None and step.now <= until
    }
