"""One stream, told in words: what was lost, on which hop, how long it waited, what was repaired.

The command line and the admin page tell the same story in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from relay.admin.trace_row import TraceRow
from relay.wire.jsontext import JsonValue

WAIT_TOLD_MS: Final = 100.0
"""A shorter wait is not worth a sentence: the relay itself takes under one millisecond."""

GAPS_TOLD_MAX: Final = 20
"""How many gaps a sentence lists; the drawing has all of them."""

SECOND_MS: Final = 1000.0

_HOPS: Final = {
    "bot_to_relay": "between the bot and the relay",
    "relay_to_device": "between the relay and the device",
    "both": "on both hops",
}
_PARTS: Final = {
    "head": ", in the first quarter of the answer",
    "middle": ", in the middle of the answer",
    "tail": ", in the last quarter of the answer",
    "mixed": ", in several parts of the answer",
}
_REPAIRS: Final = {
    "summary": "the bot's summary had the lost part",
    "retransmit": "the bot sent the lost chunks again",
}
_OUTCOMES: Final = {
    "failed": "The bot said that it failed.",
    "idle": "The bot fell silent in the middle of its answer.",
    "bot_gone": "The bot's connection broke, and it did not come back in time.",
    "bot_offline": "The bot was not connected.",
    "cancelled": "The device went away, or a limit was reached.",
    "lost": "The relay lost the stream's state.",
    "unbound": "No bot belongs to the user who asked.",
    "bound": "The user showed a binding token, and has a bot from now on.",
}
_UNASKED: Final = frozenset({"bot_offline", "unbound", "bound"})
"""Outcomes of streams whose question no bot was given: of none can be said what it left unsaid."""


@dataclass(frozen=True, slots=True)
class Point:
    """One chunk; times in milliseconds since the request, the length in characters."""

    sequence: int
    received: float
    acked: float | None
    delivered: float | None
    length: int = 0

    @property
    def waited(self) -> float:
        """How long it lay in the relay before a device was handed it; 0 where none was."""
        return 0.0 if self.delivered is None else self.delivered - self.received


@dataclass(frozen=True, slots=True)
class Moments:
    """When things happened to the stream as a whole, in milliseconds since the request."""

    end_received: float | None
    """The bot's `stream_end`."""
    closed: float | None
    """The end that the device was given."""
    repaired: tuple[float, ...]
    """When text of a summary was shown."""
    gaps: tuple[float, ...]
    """When chunks were given up, and what waited behind them was shown."""
    left: float | None = None
    """When the last device left without the end of the answer."""

    @property
    def end_held(self) -> float:
        """How long the end was held."""
        if self.end_received is None or self.closed is None:
            return 0.0
        return max(0.0, self.closed - self.end_received)


def points(row: TraceRow) -> list[Point]:
    """Return the timeline's chunks in the order of arrival. What is malformed is left out."""
    return [point for item in row.timeline if (point := _point(item)) is not None]


def _point(item: JsonValue) -> Point | None:
    match item:
        case [int(sequence), int() | float() as received, acked, delivered, *more]:
            length = more[0] if more and isinstance(more[0], int) else 0
            return Point(sequence, received, _number(acked), _number(delivered), length)
        case _:
            return None


def _number(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) else None


def moments(row: TraceRow) -> Moments:
    """Read the moments from the events; those of older traces have no milliseconds."""
    at: dict[str, list[float]] = {}
    for event in row.events:
        if isinstance(event, dict) and isinstance(ms := event.get("ms"), int | float):
            at.setdefault(str(event.get("type")), []).append(ms)
    end, closed = at.get("end_received"), at.get("stream_end")
    return Moments(
        end_received=end[0] if end else None,
        closed=closed[-1] if closed else None,
        repaired=tuple(at.get("repaired", ())),
        gaps=tuple(at.get("gap_shown", ())),
        left=left[-1] if (left := at.get("device_gone")) else None,
    )


def told(row: TraceRow) -> Iterator[str]:
    """Say in sentences how the stream went, the most important first."""
    yield _reached(row)
    if row.outcome in _OUTCOMES:
        yield _OUTCOMES[row.outcome]
    yield from _lost(row)
    yield from _waits(row)
    if row.repaired_by is not None:
        yield f"The text was made whole: {_REPAIRS.get(row.repaired_by, row.repaired_by)}."
    elif row.missing_sequences:
        yield "Nothing could be repaired."
    yield from _remarks(row.anomaly or {})
    yield from _refusals(row)
    if _is_guessed(row) and row.outcome not in _UNASKED:
        yield "The bot never said how many chunks there are: a lost end would not show."


def _reached(row: TraceRow) -> str:
    total = row.sdk_total_chunks or row.sdk_chunk_count
    if not total:
        return "There was no chunk."
    if row.sse_chunk_count == total and not row.missing_sequences:
        return "The only chunk reached the device." if total == 1 else (
            f"All {total} chunks reached the device."
        )  # fmt: skip
    return f"{row.sse_chunk_count} of {total} chunks reached the device."


def _lost(row: TraceRow) -> Iterator[str]:
    lost, anomaly = row.missing_sequences, row.anomaly or {}
    if not lost:
        return
    part = _part(row)
    unsent, unseen = _gaps(anomaly.get("never_arrived")), _gaps(anomaly.get("never_delivered"))
    if unsent:
        yield f"{_count(unsent)} did not arrive in time from the bot: {_listed(unsent)}{part}."
    if unseen:
        arrived = "arrived, but the device was not handed"
        it = "it" if _count(unseen) == 1 else "them"
        told_already = part if not unsent else ""
        yield f"{_count(unseen)} {arrived} {it}: {_listed(unseen)}{told_already}."
        if left := moments(row).left:
            yield f"The last device left {seconds(left)} after the question."
    if not (unsent or unseen):
        hop = _HOPS.get(row.loss_hop or "", "somewhere")
        yield f"{len(lost)} went missing {hop}: {ranges(lost)}{part}."
    late = _gaps(anomaly.get("arrived_late"))
    if late:
        yield f"Arrived after their place was given up: {_listed(late)}."


def _part(row: TraceRow) -> str:
    """Return where the loss lies; a position names quarters, and one gap may span several."""
    lost = row.missing_sequences
    if row.loss_position != "mixed" or len(runs(lost, len(lost))) > 1:
        return _PARTS.get(row.loss_position or "", "")
    reaches_end = lost[-1] + 1 == row.sdk_total_chunks
    if lost[0] == 0:
        return ", the whole answer" if reaches_end else ", the beginning of the answer"
    return ", the end of the answer" if reaches_end else ", in one piece of the answer"


def _waits(row: TraceRow) -> Iterator[str]:
    waited = [point.waited for point in points(row) if point.waited >= WAIT_TOLD_MS]
    if waited:
        chunks = "1 chunk" if len(waited) == 1 else f"{len(waited)} chunks"
        yield f"{chunks} waited in the relay, the longest {seconds(max(waited))}."
    held = moments(row).end_held
    if held >= WAIT_TOLD_MS:
        yield f"The end was held {seconds(held)}."


def _remarks(anomaly: dict[str, JsonValue]) -> Iterator[str]:
    if refused := anomaly.get("chunks_refused"):
        yield f"The relay refused {refused} chunks."
    if disagrees := anomaly.get("summary_disagrees_in"):
        yield f"The bot's summary was not believed: its {disagrees} is wrong."
    if detail := anomaly.get("detail"):
        yield f"Detail: {detail}"


def _refusals(row: TraceRow) -> Iterator[str]:
    """Say what was refused and why; of a chunk that a bot sent again and again, once."""
    told: dict[str, None] = {}
    for event in row.events:
        match event:
            case {"type": "refused", "data": {"sequence": number, "code": str(code)}}:
                told[f"{'one without a number' if number is None else number} ({code})"] = None
            case _:
                pass
    if told:
        yield f"Refused by the relay: {', '.join(told)}."


def _is_guessed(row: TraceRow) -> bool:
    """Whether nobody knows how many chunks there were: an anomaly says so, or the end's event."""
    said: list[JsonValue] = [row.anomaly]
    said += [e.get("data") for e in row.events if isinstance(e, dict)]
    return any(isinstance(one, dict) and one.get("total_is_known") is False for one in said)


# --- numbers in words -------------------------------------------------------------------


def seconds(milliseconds: float) -> str:
    """Return a duration as an operator says it: `3.2 ms`, `250 ms`, `2.0 s`, `3 min 5 s`."""
    if milliseconds == round(milliseconds) and milliseconds < SECOND_MS / 100:
        return f"{milliseconds:.0f} ms"
    if milliseconds < SECOND_MS:
        return (
            f"{milliseconds:.1f} ms" if milliseconds < SECOND_MS / 100 else f"{milliseconds:.0f} ms"
        )
    if milliseconds < 60 * SECOND_MS:
        return f"{milliseconds / SECOND_MS:.1f} s"
    whole = round(milliseconds / SECOND_MS)
    return f"{whole // 60} min {whole % 60} s"


def ranges(sequences: Sequence[int]) -> str:
    """Return ascending numbers as `3, 57-59`."""
    return _listed([(run[0], run[-1]) for run in runs(sequences, len(sequences))])


def span(first: int, last: int) -> str:
    """Return one range: `3` or `57-59`."""
    return f"{first}" if first == last else f"{first}-{last}"


def runs(sequences: Sequence[int], size: int) -> list[list[int]]:
    """Cut ascending numbers into runs without a hole, of at most `size` each."""
    found: list[list[int]] = []
    for number in sequences:
        if found and number == found[-1][-1] + 1 and len(found[-1]) < size:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def _listed(gaps: Sequence[tuple[int, int]]) -> str:
    said = ", ".join(span(first, last) for first, last in gaps[:GAPS_TOLD_MAX])
    more = len(gaps) - GAPS_TOLD_MAX
    return said if more <= 0 else f"{said} and {more} more gaps"


def _count(gaps: Sequence[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in gaps)


def _gaps(value: JsonValue) -> list[tuple[int, int]]:
    """Read inclusive ranges as the anomaly holds them."""
    found = []
    for item in value if isinstance(value, list) else []:
        match item:
            case [int(first), int(last)]:
                found.append((first, last))
            case _:
                pass
    return found
