"""One stream, drawn in the terminal: what was lost, and each chunk over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, cast

from rich.text import Text

from relay.node.tracer import TraceRow
from relay.wire.timestamp import beijing_iso

ROWS: Final = 30
"""Rows for the chunks that are there; where there are more chunks, a row is several."""

MISSING_ROWS_MAX: Final = 30
"""Rows for runs of missing chunks. `--json` has all of them."""

LABEL: Final = 13
FIGURES: Final = 31
PLOT_MIN: Final = 10

RECEIVED: Final = ("○", "cyan")
ACKED: Final = ("◐", "yellow")
DELIVERED: Final = ("●", "green")
MISSING: Final = ("×", "bold red")

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


@dataclass(frozen=True, slots=True)
class Point:
    """One chunk; times in milliseconds since the request."""

    sequence: int
    received: float
    acked: float | None
    delivered: float | None


def draw(row: TraceRow, width: int) -> Iterator[Text]:
    """Return the trace in lines for a terminal of `width` columns; without colours it reads too."""
    yield from _head(row)
    yield Text()
    for sentence in told(row):
        yield Text(sentence, "red" if row.missing_sequences else "")
    yield Text()
    points = [
        Point(*cast("tuple[int, float, float | None, float | None]", tuple(point[:4])))
        for point in row.timeline
        if isinstance(point, list)
    ]
    yield from _chart(points, row, max(PLOT_MIN, width - LABEL - FIGURES - 1))


def told(row: TraceRow) -> Iterator[str]:
    """Say the loss report in words."""
    anomaly = row.anomaly or {}
    lost, total = len(row.missing_sequences), row.sdk_total_chunks or row.sdk_chunk_count
    if lost:
        part = _PARTS.get(row.loss_position or "", "")
        hop = _HOPS.get(row.loss_hop or "", row.loss_hop or "somewhere")
        which = ranges(row.missing_sequences)
        yield f"{lost} of {total} chunks went missing {hop}: {which}{part}."
    else:
        yield f"No chunk is missing; {row.sse_chunk_count} were delivered."
    for name, words in (
        ("never_arrived", "Not there in time"),
        ("arrived_late", "Arrived after their place was given up"),
        ("never_delivered", "Arrived, but not handed to the device"),
    ):
        gaps = anomaly.get(name)
        if isinstance(gaps, list) and gaps:
            yield f"{words}: {', '.join(_gap(gap) for gap in gaps if isinstance(gap, list))}."
    if refused := anomaly.get("chunks_refused"):
        yield f"The relay refused {refused} chunks."
    if disagrees := anomaly.get("summary_disagrees_in"):
        yield f"The bot's summary was not believed: its {disagrees} is wrong."
    if row.repaired_by is not None:
        yield f"The text was made whole: {_REPAIRS.get(row.repaired_by, row.repaired_by)}."
    if detail := anomaly.get("detail"):
        yield f"Detail: {detail}"
    if anomaly.get("total_is_known") is False:
        yield "The bot never said how many chunks there are: a lost end would not show."


def ranges(sequences: Sequence[int]) -> str:
    """Return ascending numbers as `3, 57-59`."""
    runs = _runs(sequences, len(sequences))
    return ", ".join(_gap([run[0], run[-1]]) for run in runs)


def _gap(gap: Sequence[object]) -> str:
    return f"{gap[0]}" if gap[0] == gap[-1] else f"{gap[0]}-{gap[-1]}"


def _runs(sequences: Sequence[int], size: int) -> list[list[int]]:
    """Cut ascending numbers into runs without a hole, of at most `size` each."""
    runs: list[list[int]] = []
    for number in sequences:
        if runs and number == runs[-1][-1] + 1 and len(runs[-1]) < size:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


# --- head -------------------------------------------------------------------------------


def _head(row: TraceRow) -> Iterator[Text]:
    bad = row.status == "anomaly"
    bot = "no bot" if row.bot_id is None else f"bot {row.bot_id}"
    total = row.sdk_total_chunks or row.sdk_chunk_count
    yield Text.assemble("trace   ", (row.trace_id, "bold"))
    yield Text(f"stream  {row.stream_id}")
    yield Text(f"asked   {beijing_iso(row.created_at)} by {row.user_id} in {row.message_id}")
    yield Text(f"bot     {bot}, {row.sdk_version or 'unknown SDK'}, protocol {row.protocol}")
    yield Text.assemble(
        "status  ", (row.status, "bold red" if bad else "bold green"), f", {row.outcome}"
    )
    yield Text.assemble(
        "chunks  ", (f"{total} -> {row.sse_chunk_count}", "bold red" if bad else "bold"),
        f", hop {row.loss_hop or '-'}, position {row.loss_position or '-'}, "
        f"repair {row.repaired_by or '-'}",
    )  # fmt: skip
    yield Text(
        f"delays  first chunk {_ms(row.first_chunk_delay)}, between {_ms(row.avg_chunk_interval)}, "
        f"last chunk to end {_ms(row.last_chunk_delay)}"
    )
    yield Text(
        f"        ack p50 {_ms(row.ack_delay_p50)} p99 {_ms(row.ack_delay_p99)}, "
        f"delivery p50 {_ms(row.delivery_delay_p50)} p99 {_ms(row.delivery_delay_p99)}"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:g} ms"


# --- chart ------------------------------------------------------------------------------


def _chart(points: Sequence[Point], row: TraceRow, width: int) -> Iterator[Text]:
    missing = set(row.missing_sequences)
    there = sorted({point.sequence for point in points} - missing)
    lost = _runs(row.missing_sequences, len(missing))
    if not there and not lost:
        yield Text("There was no chunk.", "dim")
        return
    times = [at for point in points for at in _times(point) if at is not None]
    first, last = min(times, default=0.0), max(times, default=0.0)
    axis = f"{first:.0f} ms"
    axis += f"{last:.0f} ms".rjust(max(1, width - len(axis)))
    head = f"{'received':>10}{'acked':>10}{'delivered':>11}"
    yield Text(f"{'sequence':>{LABEL - 2}}  {axis:{width}}{head}", "dim")
    by_sequence = {point.sequence: point for point in points}
    size = max(1, ceil(len(there) / ROWS))
    for run in sorted([*_runs(there, size), *lost[:MISSING_ROWS_MAX]]):
        found = [by_sequence[number] for number in run if number in by_sequence]
        yield _line(run, found, width, (first, last), lost=run[0] in missing)
    if len(lost) > MISSING_ROWS_MAX:
        yield Text(f"{len(lost) - MISSING_ROWS_MAX} more gaps, see --json", "red")
    yield Text.assemble(
        " " * LABEL, RECEIVED, " received  ", ACKED, " acked  ", DELIVERED, " delivered  ",
        MISSING, " missing",
    )  # fmt: skip


def _line(
    run: Sequence[int],
    points: Sequence[Point],
    width: int,
    span: tuple[float, float],
    *,
    lost: bool,
) -> Text:
    first, last = span
    cells: list[tuple[str, str]] = [MISSING if lost and not points else (" ", "")] * width
    # Later stages are drawn over earlier ones: where all fall together, the chunk is delivered.
    for stage, mark in enumerate((RECEIVED, ACKED, DELIVERED)):
        for point in points:
            if (at := _times(point)[stage]) is not None:
                cells[round((at - first) / ((last - first) or 1.0) * (width - 1))] = mark
    label = (f"{_gap([run[0], run[-1]]):>{LABEL - 2}}  ", MISSING[1] if lost else "")
    if not points:
        return Text.assemble(label, *cells, (f"{f'missing {len(run)}':>{FIGURES}}", MISSING[1]))
    received = min(point.received for point in points)
    acked = _slowest([point.acked - point.received for point in points if point.acked is not None])
    sent = [point.delivered - point.received for point in points if point.delivered is not None]
    delivered = _slowest(sent) if sent or not lost else "missing"
    figures = f"{received:>10.1f}{acked:>10}{delivered:>11}"
    return Text.assemble(label, *cells, (figures, MISSING[1] if lost else ""))


def _times(point: Point) -> tuple[float | None, float | None, float | None]:
    return point.received, point.acked, point.delivered


def _slowest(delays: Sequence[float]) -> str:
    return f"+{max(delays):.1f}" if delays else "-"
