"""One stream, drawn in the terminal: what was lost, and each chunk over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

from rich.text import Text

from relay.admin.story import Point, points, runs, span, told
from relay.admin.trace_row import TraceRow
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


def draw(row: TraceRow, width: int) -> Iterator[Text]:
    """Return the trace in lines for a terminal of `width` columns; without colours it reads too."""
    yield from _head(row)
    yield Text()
    for sentence in told(row):
        yield Text(sentence, "red" if row.missing_sequences else "")
    yield Text()
    yield from _chart(points(row), row, max(PLOT_MIN, width - LABEL - FIGURES - 1))


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


def _chart(chunks: Sequence[Point], row: TraceRow, width: int) -> Iterator[Text]:
    missing = set(row.missing_sequences)
    there = sorted({point.sequence for point in chunks} - missing)
    lost = runs(row.missing_sequences, len(missing))
    if not there and not lost:
        yield Text("There was no chunk.", "dim")
        return
    times = [at for point in chunks for at in _times(point) if at is not None]
    first, last = min(times, default=0.0), max(times, default=0.0)
    axis = f"{first:.0f} ms"
    axis += f"{last:.0f} ms".rjust(max(1, width - len(axis)))
    head = f"{'received':>10}{'acked':>10}{'delivered':>11}"
    yield Text(f"{'sequence':>{LABEL - 2}}  {axis:{width}}{head}", "dim")
    by_sequence = {point.sequence: point for point in chunks}
    size = max(1, ceil(len(there) / ROWS))
    for run in sorted([*runs(there, size), *lost[:MISSING_ROWS_MAX]]):
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
    chunks: Sequence[Point],
    width: int,
    between: tuple[float, float],
    *,
    lost: bool,
) -> Text:
    first, last = between
    cells: list[tuple[str, str]] = [MISSING if lost and not chunks else (" ", "")] * width
    # Later stages are drawn over earlier ones: where all fall together, the chunk is delivered.
    for stage, mark in enumerate((RECEIVED, ACKED, DELIVERED)):
        for point in chunks:
            if (at := _times(point)[stage]) is not None:
                cells[round((at - first) / ((last - first) or 1.0) * (width - 1))] = mark
    label = (f"{span(run[0], run[-1]):>{LABEL - 2}}  ", MISSING[1] if lost else "")
    if not chunks:
        return Text.assemble(label, *cells, (f"{f'missing {len(run)}':>{FIGURES}}", MISSING[1]))
    received = min(point.received for point in chunks)
    acked = _slowest([point.acked - point.received for point in chunks if point.acked is not None])
    sent = [point.delivered - point.received for point in chunks if point.delivered is not None]
    delivered = _slowest(sent) if sent or not lost else "missing"
    figures = f"{received:>10.1f}{acked:>10}{delivered:>11}"
    return Text.assemble(label, *cells, (figures, MISSING[1] if lost else ""))


def _times(point: Point) -> tuple[float | None, float | None, float | None]:
    return point.received, point.acked, point.delivered


def _slowest(delays: Sequence[float]) -> str:
    return f"+{max(delays):.1f}" if delays else "-"
