"""Invariants 7 to 15: what a device may rely on. One function each; it yields what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from relay.protocol.events import Chunk, EntryKind, Position
from relay.protocol.rangeset import Ranges, expand
from relay.protocol.status import Outcome
from relay.protocol.texthash import content_hash
from relay.wire.bot import Acked, Closed, Refused
from relay.wire.entry import format_position
from relay.wire.sse import SseParser
from tests.simulation.facts import BotLeft, Row, Told, Wrote
from tests.simulation.plan import Fault, Kind
from tests.simulation.story import Reader, Shelf, Story
from tests.support.core import SHOWN

PROMPT_S = 0.05
HOLD_S = 0.1
EXACT_S = 1e-3
"""Clocks that count from 1970 resolve less than a microsecond; timers come a little late."""


def i07_sequences_increase_on_a_connection(story: Story) -> Iterator[str]:
    """Each at most once, and every entry as it stands in the log."""
    for number, reader in story.readers.items():
        shelf = story.shelves[reader.joined.epoch]
        sequences = [e.sequence for e in reader.entries if e.kind is EntryKind.CHUNK]
        known = [sequence for sequence in sequences if sequence is not None]
        if known != sorted(set(known)):
            yield f"reader {number} was handed the sequences {known}"
        for entry in reader.entries:
            if entry.offset > len(shelf.entries) or shelf.entries[entry.offset - 1] != entry:
                yield f"reader {number}: entry {entry.offset} is not the log's"


def i08_what_is_acknowledged_is_delivered_or_missing(story: Story) -> Iterator[str]:
    """Never both and never neither, once the stream is over."""
    for fact, told in story.of(Told):
        closed = told.message
        if not isinstance(closed, Closed) or closed.outcome == Outcome.LOST:
            continue
        delivered = set(story.shelf_at(fact.order).sequences)
        missing = set(expand(closed.missing, 100_000))
        if both := missing & delivered:
            yield f"both delivered and missing: {sorted(both)[:9]}"
        if neither := set(range(closed.total_chunks)) - missing - delivered:
            yield f"neither delivered nor missing: {sorted(neither)[:9]}"
    end = story.shelf.end
    if story.numbered and len(story.shelves) == 1 and end and end.total_chunks is not None:
        acked = {
            told.message.sequence
            for fact, told in story.of(Told)
            if isinstance(told.message, Acked) and fact.at < (story.ended_at or 0.0)
        } - {None}
        if gone := {s for s in acked if s is not None and s >= end.total_chunks}:
            yield f"acknowledged, and above n: {sorted(gone)[:9]}"
    yield from _devices_that_stayed(story)


def _devices_that_stayed(story: Story) -> Iterator[str]:
    """Whoever was told how it ended was handed all of it."""
    for shown in story.shown():
        shelf = story.read_to_end(shown.device)
        if shelf is None or not shown.outcome or shown.outcome == "left":
            continue
        (epoch,) = (epoch for epoch, one in story.shelves.items() if one is shelf)
        handed = {
            entry.offset
            for reader in story.readers.values()
            if reader.joined.device == shown.device and reader.joined.epoch == epoch
            for entry in reader.entries
        }
        if absent := {entry.offset for entry in shelf.entries} - handed:
            yield f"{shown.device} saw the end, and not entries {sorted(absent)[:9]}"


def i09_one_end_after_everything_else(story: Story) -> Iterator[str]:
    """Exactly one, nothing behind it, and none too early."""
    for epoch, shelf in story.shelves.items():
        ends = [entry.kind is EntryKind.END for entry in shelf.entries]
        if any(ends[:-1]):
            yield f"{epoch}: something stands behind the end"
    for number, reader in story.readers.items():
        kinds = [entry.kind for entry in reader.entries]
        if EntryKind.END in kinds[:-1]:
            yield f"reader {number} was handed something behind the end"
    yield from _not_too_early(story)


def _not_too_early(story: Story) -> Iterator[str]:
    end, at, heard = story.shelf.end, story.ended_at, story.end_heard
    if end is None or at is None or len(story.shelves) > 1:
        return
    delivered = set(story.shelf.sequences)
    if end.outcome is Outcome.COMPLETED and set(range(end.total_chunks or 0)) != delivered:
        yield f"completed with {len(delivered)} of {end.total_chunks}"
    if end.outcome not in {Outcome.COMPLETED, Outcome.INCOMPLETE}:
        return
    if heard is None:
        yield f"{end.outcome} without an end of the bot's"
        return
    settings, kinds = story.plan.settings, {entry.kind for entry in story.shelf.entries}
    gone = EntryKind.GAP in kinds or not story.numbered
    full = heard.at + settings.barrier_seconds - EXACT_S
    if end.outcome is Outcome.INCOMPLETE and not gone and at < full:
        yield f"held for {at - heard.at:.3f} s only, with chunks missing"
    if story.stated == {None} and not (story.summaries or story.overlaps):
        guess_s = min(settings.guess_seconds, settings.barrier_seconds)
        if EntryKind.GAP not in kinds and at < heard.at + guess_s - EXACT_S:
            yield f"a guessed n was believed after {at - heard.at:.3f} s"


def i10_the_hold_ends(story: Story) -> Iterator[str]:
    """2.0 s and 0.1 s behind the bot's end at the latest, whatever the wall clock says."""
    yield from _given_up_early(story)
    heard, at = story.end_heard, story.ended_at
    if heard is None or not story.undisturbed:
        return
    unknown = any(
        isinstance(told.message, Refused) and fact.order > heard.order
        for fact, told in story.of(Told)
    )
    latest = heard.at + story.plan.settings.barrier_seconds + HOLD_S + 8 * story.plan.broker_s
    if (at is None or at > latest) and not (unknown and story.wild):
        yield f"the end came at {heard.at:.3f}, and was over at {at}"


def _given_up_early(story: Story) -> Iterator[str]:
    """The other deadlines: nobody is called silent or gone before the time."""
    at, settings = story.ended_at, story.plan.settings
    if at is None or not story.undisturbed:
        return
    if story.outcome is Outcome.IDLE:
        waited, since = settings.idle_seconds, list(_chunks_came(story))
    elif story.outcome is Outcome.BOT_GONE:
        waited, since = settings.bot_grace_seconds, story.run.left_at(story.bot.bot_id)
    else:
        return
    last = max((moment for moment in since if moment <= at), default=story.facts[0].at)
    if at < last + waited - EXACT_S - 8 * story.plan.broker_s:
        yield f"{story.outcome} after {at - last:.3f} s"


def _chunks_came(story: Story) -> Iterator[float]:
    """When a chunk was stored that had not been before: a repetition is no sign of life."""
    shelf = Shelf()
    for fact, wrote in story.of(Wrote):
        known = len(shelf.contents)
        shelf.take(wrote)
        if len(shelf.contents) > known:
            yield fact.at


def i11_a_late_chunk_is_acknowledged_and_not_shown(story: Story) -> Iterator[str]:
    """And it is in the trace, as late."""
    at, end = story.ended_at, story.shelf.end
    if at is None or end is None or not story.undisturbed or not story.numbered:
        return
    there = set(story.shelf.sequences)
    late = [
        (fact, chunk)
        for fact, _, chunk in story.chunks_heard()
        if fact.at > at and chunk.sequence not in there
    ]
    told = [(fact.order, told.message) for fact, told in story.of(Told)]
    acked: set[int] = set()
    for fact, chunk in late:
        answers = [m for order, m in told if order > fact.order]
        if chunk.sequence is not None and any(
            isinstance(m, Acked) and m.sequence == chunk.sequence for m in answers
        ):
            acked.add(chunk.sequence)
        elif not any(isinstance(m, Refused) and m.sequence == chunk.sequence for m in answers):
            yield f"late chunk {chunk.sequence} was not answered"
    rows = list(story.of(Row))
    if acked and rows and not story.plan.has(Fault.STORE):
        anomaly = rows[-1][1].row.anomaly or {}
        noted = anomaly.get("arrived_late")
        pairs = noted if isinstance(noted, list) else []
        ranges = tuple((pair[0], pair[1]) for pair in pairs if isinstance(pair, list))
        if untold := acked - set(expand(cast("Ranges", ranges), 100_000)):
            yield f"the trace does not say that {sorted(untold)} came late"


def i12_a_resumed_reader_goes_on_behind_its_position(story: Story) -> Iterator[str]:
    """After n the next is n+1, and so on without holes."""
    for number, reader in story.readers.items():
        offsets = [entry.offset for entry in reader.entries]
        after = reader.joined.after
        if offsets != list(range(after + 1, after + 1 + len(offsets))):
            yield f"reader {number} resumed behind {after} and was handed {offsets[:9]}"


def i13_ids_are_the_same_on_every_connection(story: Story) -> Iterator[str]:
    """One id is one event, byte for byte; and every device shows the log's text."""
    events: dict[str, str] = {}
    for number, reader in story.readers.items():
        shown = [e for e in reader.entries if e.kind is not EntryKind.ENDING]
        found = [event for _, h in reader.handed for event in SseParser().feed(h.data)]
        if not found or not found[0].id:
            continue  # glasses know no ids
        epoch = reader.joined.epoch
        ids = [format_position(Position(epoch, entry.offset)) for entry in shown]
        if [event.id for event in found] != ids:
            yield f"reader {number}: ids {[event.id for event in found]} for {ids}"
        for event in found:
            if events.setdefault(event.id, event.data) != event.data:
                yield f"{event.id} is {event.data!r} and {events[event.id]!r}"
    for shown_text in story.shown():
        shelf = story.read_to_end(shown_text.device)
        if shelf is None or shelf.end is None or not story.numbered:
            continue
        if len(story.shelves) > 1 and (story.wild or not _came_again(story, shelf)):
            continue
        text = "".join(entry.content for entry in shelf.entries if entry.kind in SHOWN)
        if shown_text.outcome == shelf.end.outcome and shown_text.text != text:
            yield f"{shown_text.device} shows {shown_text.text!r}, the log {text!r}"


def _came_again(story: Story, shelf: Shelf) -> bool:
    """Whether all that any log ever showed stands in this one, too."""
    kinds = {entry.kind for one in story.shelves.values() for entry in one.entries}
    whole = shelf.end is not None and shelf.end.outcome is Outcome.COMPLETED
    return whole and not kinds & {EntryKind.GAP, EntryKind.REPAIR}


def i14_nobody_waits_for_a_slow_reader(story: Story) -> Iterator[str]:
    """A prompt reader has each entry within 50 ms of its write, and a chunk its answer."""
    if story.plan.has(Fault.STALL, Fault.CUT, Fault.CRASH, Fault.DRAIN, Fault.FLUSH):
        return
    patience = PROMPT_S + 8 * story.plan.broker_s
    written: dict[tuple[str, int], float] = {}
    for fact, wrote in story.of(Wrote):
        for entry in wrote.entries:
            written[wrote.epoch, entry.offset] = fact.at
    for number, reader in story.readers.items():
        handed = {e.offset: at for at, h in reader.handed for e in h.entries}
        if not reader.joined.prompt:
            continue
        for (epoch, offset), at in written.items():
            due = max(at, reader.at) + patience
            if epoch != reader.joined.epoch or offset <= reader.joined.after:
                continue
            if handed.get(offset, due + 1) > due and not _left_by(reader, due):
                yield f"reader {number} was handed entry {offset} of {at:.3f} too late"
    if story.undisturbed and story.plan.nodes == 1 and story.bot.kind is Kind.SDK:
        yield from _answered_in_time(story, patience)


def _left_by(reader: Reader, due: float) -> bool:
    return reader.left_at is not None and reader.left_at <= due


def _answered_in_time(story: Story, patience: float) -> Iterator[str]:
    answers = [
        fact.at for fact, told in story.of(Told) if isinstance(told.message, Acked | Refused)
    ]
    left = {gone.connection: fact.at for fact, gone in story.run.ledger.of(BotLeft)}
    for fact, heard in story.heard():
        if left.get(heard.connection, fact.at + patience) < fact.at + patience:
            continue
        if isinstance(heard.message, Chunk) and not any(
            fact.at <= at <= fact.at + patience for at in answers
        ):
            yield f"chunk {heard.message.sequence} of {fact.at:.3f} was not answered in time"


def i15_a_repaired_text_is_the_summary_s(story: Story) -> Iterator[str]:
    """Its hash is the one that the bot told."""
    kinds = {entry.kind for entry in story.shelf.entries}
    if story.outcome is not Outcome.REPAIRED and EntryKind.REPAIR not in kinds:
        return
    text = "".join(entry.content for entry in story.shelf.entries if entry.kind in SHOWN)
    if content_hash(text) not in {summary.content_hash for summary in story.summaries}:
        yield f"repaired to {text!r}, which no summary says"
