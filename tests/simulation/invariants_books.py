"""Invariants 16 to 23: what an operator may rely on. One function each; it yields what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from relay.admin.trace_row import TraceRow
from relay.protocol.events import Chunk, EntryKind
from relay.protocol.status import Outcome, Status
from relay.wire.bot import Acked, Refused
from tests.simulation.broker import LEASE_S
from tests.simulation.facts import (
    BotCame,
    BotLeft,
    Dropped,
    Fact,
    Granted,
    Handed,
    Heard,
    Probed,
    Row,
    Sample,
    Told,
    Wrote,
)
from tests.simulation.plan import Fault, Kind
from tests.simulation.run import Run
from tests.simulation.story import Reader, Shelf, Story, stories
from tests.support.core import SHOWN

LABELS = [status.label for status in sorted(Status)]
AFTER_S = 1.0


def i16_the_status_only_climbs(story: Story) -> Iterator[str]:
    """Of the stream under one owner, and from row to row of its trace.

    A row says that nothing was delivered once the grace is over. A device that comes after all
    and reads to the end makes that untrue, and only that: what was lost on the way here stays.
    """
    seen: dict[str, int] = {}
    known_at = 0.0
    for fact in story.facts:
        match fact.what:
            case Granted():
                seen.clear()  # an owner that failed may have known more than its log
                known_at = fact.at + 2 * story.plan.broker_s
            case Sample() if fact.at < known_at:
                pass  # the grant is on its way, and the owner before is asked
            case Sample(node, live):
                before, status = seen.get(node, 0), LABELS.index(live.status)
                if status < before:
                    yield f"at {fact.at:.3f}: {live.status} after {LABELS[before]}"
                seen[node] = max(before, status)
            case _:
                pass
    rows = list(story.of(Row))
    for (then, old), (now, new) in pairwise(rows if story.undisturbed else []):
        fell = LABELS.index(new.row.status) < LABELS.index(old.row.status)
        if fell and not (_was_unread(old) and _read_between(story, then, now)):
            yield f"the trace fell from {old.row.status} to {new.row.status}"


def _was_unread(row: Row) -> bool:
    """Whether all that a row had against its stream is that nobody had come to read it."""
    return (row.row.anomaly or {}).get("type") == "delivery_loss"


def _read_between(story: Story, then: Fact, now: Fact) -> bool:
    """Whether a device that came after all has read to the end, so that the row is corrected."""
    return any(
        handed.entries[-1].kind is EntryKind.END
        for fact, handed in story.of(Handed)
        if then.order < fact.order < now.order
    )


def i17_the_trace_is_what_was_seen(story: Story) -> Iterator[str]:
    """Counts, outcome, texts and missing sequences of the last row, against the ledger."""
    rows = [row.row for _, row in story.of(Row)]
    end = story.shelf.end
    if not rows or end is None or story.outcome is None or len(story.shelves) > 1:
        return
    if not story.undisturbed or rows[-1].outcome == Outcome.LOST:
        return  # what a dead node's devices were handed is known to nobody
    everybody = list(story.readers.values())
    # Once it is written nobody asks any more what other nodes hand over, and a hint may be lost.
    first = next(fact.at for fact, _ in story.of(Row))
    in_time = [reader for reader in everybody if reader.at <= first]
    may_be_known = [in_time, everybody] if story.plan.has(Fault.DEAF) else [everybody]
    wrong = [list(_differences(story, rows[-1], readers)) for readers in may_be_known]
    if all(wrong):
        yield from wrong[-1]


def _differences(story: Story, row: TraceRow, readers: Sequence[Reader]) -> Iterator[str]:
    """Yield how a row differs from the log, and from what these readers were handed of it."""
    log = story.shelf.entries
    shown = log[: max((entry.offset for reader in readers for entry in reader.entries), default=0)]
    chunks = [entry for entry in shown if entry.kind is EntryKind.CHUNK]
    here = {entry.sequence for entry in chunks}
    total = row.sdk_total_chunks or 0
    wanted: dict[str, object] = {
        "outcome": story.outcome,
        "sse_chunk_count": len(chunks),
        "missing_sequences": [s for s in range(total) if s not in here],
    }
    if story.plan.settings.trace_content == "full":
        text = "".join(entry.content for entry in shown if entry.kind in SHOWN)
        whole = "".join(entry.content for entry in log if entry.kind is EntryKind.CHUNK)
        wanted |= {"sse_content": text, "sdk_content": whole}
    else:
        wanted |= {"sse_content": "", "sdk_content": ""}
    for name, value in wanted.items():
        if getattr(row, name) != value and not story.plan.has(Fault.STORE):
            yield f"{name} is {getattr(row, name)!r} and was {value!r}"
    if total < (log[-1].total_chunks or 0):
        yield f"n is {total} and was {log[-1].total_chunks}"


def i18_every_accepted_chunk_is_somewhere(story: Story) -> Iterator[str]:
    """At every moment: accepted = in the log (delivered or not) + held."""
    if story.plan.shared:
        return  # a write is under way while the owner knows of it already
    shelves: dict[str, Shelf] = {}
    epoch, handed = "", 0
    for fact in story.facts:
        match fact.what:
            case Granted(epoch=made):
                epoch, handed = made, 0
                shelves.setdefault(made, Shelf())
            case Wrote() as wrote:
                shelves[wrote.epoch].take(wrote)
            case Handed(entries=entries):
                handed = max(handed, entries[-1].offset)
            case Sample(live=live):
                shelf = shelves[epoch]
                stored = len(shelf.sequences)
                if live.received != stored + len(shelf.held):
                    yield f"{live.received} accepted, {stored} stored and {len(shelf.held)} held"
                if (live.delivered, live.stored) != (handed, len(shelf.entries)):
                    was = f"{handed} of {len(shelf.entries)}"
                    yield f"{live.delivered} of {live.stored} are told as delivered, it was {was}"
            case _:
                pass


def i19_lost_rows_are_counted(run: Run) -> Iterator[str]:
    """What the store did not keep is what the tracer says; every other stream has its row."""
    for name, (told, real) in run.rows_lost.items():
        if told != real and not (told > real and run.plan.costs_rows):  # see logs.NOT_MADE
            yield f"{name} says that {told} rows are lost, and {real} are"
    if run.plan.has(Fault.CRASH, Fault.STALL, Fault.CUT, Fault.DRAIN, Fault.FLUSH):
        return
    without = [s.stream_id for s in stories(run) if s.shelf.end and not any(s.of(Row))]
    lost = sum(real for _, real in run.rows_lost.values())
    if len(without) > lost:
        yield f"{without} have no row, and {lost} were lost"


def i20_nothing_crosses_over(story: Story) -> Iterator[str]:
    """Another's key reads nothing, and another's bot writes nothing and is told so."""
    for _, probed in story.of(Probed):
        if probed.let_in:
            yield f"{probed.what} was let in"
    told = [(fact.order, told) for fact, told in story.of(Told)]
    for fact, heard in story.of(Heard):
        if story.run.bot_of[heard.connection] == story.bot.bot_id:
            continue
        answers = [
            t.message
            for order, t in told
            if order > fact.order and t.connection == heard.connection
        ]
        if any(isinstance(answer, Acked) for answer in answers):
            yield f"at {fact.at:.3f}: another's bot was acknowledged"
        if isinstance(heard.message, Chunk) and not any(isinstance(a, Refused) for a in answers):
            yield f"at {fact.at:.3f}: another's bot was not refused"


def i21_a_stream_stays_within_its_limits(story: Story) -> Iterator[str]:
    """How much is held and how much is stored, and how far ahead anything may lie."""
    settings = story.plan.settings
    shelves: dict[str, Shelf] = {}
    for fact, wrote in story.of(Wrote):
        shelf = shelves.setdefault(wrote.epoch, Shelf())
        shelf.take(wrote)
        reach = max(shelf.held, default=0) - shelf.given_up
        if len(shelf.held) > settings.window or reach > settings.window:
            yield f"at {fact.at:.3f}: {len(shelf.held)} held, up to {reach} ahead"
        if shelf.bytes > settings.stream_bytes_max:
            yield f"at {fact.at:.3f}: {shelf.bytes} bytes in all"


def i21_everything_is_given_back(run: Run) -> Iterator[str]:
    """Once all is over there are no logs, no tasks and no streams left."""
    yield from run.complaints
    yield from (f"still runs: {task}" for task in run.tasks_left)
    # The log of a stream whose owner died is left to expire by itself, which memory never does.
    owners_died = run.plan.shared and run.plan.has(Fault.CRASH, Fault.DRAIN)
    if run.logs_left and not owners_died:
        yield f"{run.logs_left} logs were never forgotten"


def i22_a_lost_log_is_sent_again_or_told_as_lost(story: Story) -> Iterator[str]:
    """Nobody is told that a stream is whole whose last log is not."""
    outcomes = [shelf.end.outcome for shelf in story.shelves.values() if shelf.end is not None]
    for shown in story.shown():
        if shown.outcome == Outcome.COMPLETED and Outcome.COMPLETED not in outcomes:
            yield f"{shown.device} was told that it is whole"
    whole = story.outcome is Outcome.COMPLETED
    if story.bot.kind is Kind.SDK and len(story.shelves) > 1 and whole:
        said = len({s for (stream, s) in story.run.said if stream == story.stream_id})
        if len(story.shelf.sequences) != said:
            yield f"whole with {len(story.shelf.sequences)} of {said}"


def i23_what_has_healed_comes_to_an_end(story: Story) -> Iterator[str]:
    """Each stream ends within the longest of its holds and graces, and a second."""
    run, settings = story.run, story.plan.settings
    if story.shelf.end is None and (story.lost_at is not None or any(story.of(Dropped))):
        return
    signs = [fact.at for fact, _ in story.of(Heard)] + [fact.at for fact, _ in story.of(Granted)]
    signs += [f.at for f in run.ledger.facts if _is_sign(f, story)]
    longest = max(settings.idle_seconds, settings.bot_grace_seconds, settings.barrier_seconds)
    latest = max(run.healed_at, *signs) + longest + AFTER_S
    if not story.undisturbed:
        latest += LEASE_S + 2.0
    at = story.ended_at
    if at is None or at > latest:
        yield f"it was to end by {latest:.3f}, and did at {at}"


def _is_sign(fact: Fact, story: Story) -> bool:
    return isinstance(fact.what, BotCame | BotLeft) and fact.what.bot_id == story.bot.bot_id
