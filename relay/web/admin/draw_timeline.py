"""One stream over time: each chunk's way through the relay, what is missing, what waited, why.

Time goes to the right, in milliseconds since the request; sequences go down, as one reads. Every
mark has a shape of its own, so that nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from markupsafe import Markup

from relay.admin.story import (
    WAIT_TOLD_MS,
    Moments,
    Point,
    moments,
    points,
    ranges,
    runs,
    seconds,
    span,
)
from relay.admin.trace_row import TraceRow
from relay.web.admin.draw import Scale, element, group, line, rect, text, ticks

ROWS_MAX: Final = 120
"""So many rows can be told apart; with more chunks, a row is several."""

WIDTH: Final = 960.0
LEFT: Final = 74.0
RIGHT: Final = 126.0
TOP: Final = 44.0
BOTTOM: Final = 14.0
ROW_MIN, ROW_MAX, HEIGHT_GOOD = 7.0, 16.0, 560.0
TICKS: Final = 8
LABEL_PX: Final = 11.0
"""Labels that are nearer to each other would touch."""
WORDS_PX: Final = 72.0
"""The same for the words over the drawing."""
LABEL_CHARS: Final = 11
SHORT_PX: Final = 2.5
"""A bar that is not longer would only make the marks thicker."""


@dataclass(frozen=True, slots=True)
class Row:
    """Some neighbouring sequences, drawn in one row."""

    first: int
    last: int
    chunks: tuple[Point, ...]
    missing: tuple[int, ...]

    @property
    def told(self) -> str:
        """What hovering shows: exact times in milliseconds since the request."""
        name = (
            f"Chunk {self.first}"
            if self.first == self.last
            else f"Chunks {span(self.first, self.last)}"
        )
        if self.first == self.last and self.chunks:
            said = [name, *_times(self.chunks[0])]
        elif self.chunks:
            said = [name, *_range(self.chunks)]
        else:
            said = [name]
        if self.missing:
            which = "" if self.first == self.last else f": {ranges(self.missing)}"
            said.append(f"MISSING{which}" if self.chunks else f"MISSING, never arrived{which}")
        return "\n".join(said)


def _times(point: Point) -> Iterator[str]:
    yield f"received   {point.received:,.1f} ms"
    if point.acked is not None:
        yield f"ACKed      {point.acked:,.1f} ms (+{point.acked - point.received:.1f})"
    if point.delivered is None:
        yield "delivered  never"
    else:
        yield f"delivered  {point.delivered:,.1f} ms (+{point.waited:.1f})"
    yield f"length     {point.length} characters"


def _range(chunks: Sequence[Point]) -> Iterator[str]:
    received = [chunk.received for chunk in chunks]
    delivered = [chunk.delivered for chunk in chunks if chunk.delivered is not None]
    yield f"{len(chunks)} received {min(received):,.1f} to {max(received):,.1f} ms"
    if delivered:
        yield f"{len(delivered)} delivered {min(delivered):,.1f} to {max(delivered):,.1f} ms"
        yield f"longest in the relay {max(chunk.waited for chunk in chunks):,.1f} ms"


@dataclass(frozen=True, slots=True)
class Plot:
    """Where things are on the drawing."""

    x: Scale
    rows: tuple[Row, ...]
    size: int
    """Sequences in one row."""
    row_px: float

    @property
    def bottom(self) -> float:
        """Where the last row ends."""
        return TOP + self.row_px * len(self.rows)


def arrange(row: TraceRow) -> Plot:
    """Lay a trace out in rows, and find the span of time that shows all of it."""
    chunks, lost, when = points(row), row.missing_sequences, moments(row)
    total = max(
        row.sdk_total_chunks or 0, *(c.sequence + 1 for c in chunks), *(n + 1 for n in lost), 0
    )
    size = max(1, ceil(total / ROWS_MAX))
    count = ceil(total / size)
    by_row: list[list[Point]] = [[] for _ in range(count)]
    for chunk in chunks:
        if 0 <= chunk.sequence < total:
            by_row[chunk.sequence // size].append(chunk)
    lost_by_row: list[list[int]] = [[] for _ in range(count)]
    for number in lost:
        if 0 <= number < total:
            lost_by_row[number // size].append(number)
    rows = tuple(
        Row(n * size, min(total, (n + 1) * size) - 1, tuple(by_row[n]), tuple(lost_by_row[n]))
        for n in range(count)
    )
    low, high = _span(chunks, when)
    row_px = min(ROW_MAX, max(ROW_MIN, HEIGHT_GOOD / max(1, count)))
    return Plot(Scale(low, high, LEFT, WIDTH - RIGHT), rows, size, row_px)


def _span(chunks: Sequence[Point], when: Moments) -> tuple[float, float]:
    times = [at for c in chunks for at in (c.received, c.acked, c.delivered) if at is not None]
    times += [
        at for at in (when.end_received, when.closed, *when.repaired, *when.gaps) if at is not None
    ]
    if not times:
        return 0.0, 1.0
    low, high = min(times), max(times)
    margin = max(1.0, (high - low) * 0.02)
    # The wait for the first chunk is part of the picture, unless it would push out the rest.
    low = 0.0 if low <= (high - low) / 3 else low - margin
    return low, high + margin


def draw_timeline(row: TraceRow) -> Markup:
    """Return the drawing as `<svg>`. A trace without chunks has axes and nothing on them."""
    plot, when = arrange(row), moments(row)
    height = plot.bottom + BOTTOM
    title = f"Timeline of {row.sdk_chunk_count} chunks, {len(row.missing_sequences)} missing"
    return element(
        "svg",
        element("title", title, id="timeline-title"),
        _hatch(),
        _grid(plot),
        _barrier(plot, when),
        group(_row(plot, n, part) for n, part in enumerate(plot.rows)),
        group(_lost_labels(plot)),
        group(_moments(plot, when)),
        group(_repairs(plot, when, row), class_="repairs"),
        viewBox=f"0 0 {WIDTH:g} {height:.0f}",
        class_="timeline",
        role="img",
        aria_labelledby="timeline-title",
    )


def _hatch() -> Markup:
    stripe = line(0, 0, 0, 6, class_="hatch")
    return element(
        "defs",
        element("pattern", stripe, id="held", width=6, height=6, patternUnits="userSpaceOnUse",
                patternTransform="rotate(45)"),
    )  # fmt: skip


def _grid(plot: Plot) -> Markup:
    parts: list[str] = []
    for at in ticks(plot.x.low, plot.x.high, TICKS):
        x = plot.x.at(at)
        parts.append(line(x, TOP - 4, x, plot.bottom, class_="grid"))
        label = f"{at:,.0f} ms" if plot.x.high < 10_000 else f"{at / 1000:g} s"  # noqa: PLR2004
        parts.append(text(x, TOP - 9, label, text_anchor="middle", class_="tick"))
    every = max(1, ceil(LABEL_PX / plot.row_px))
    for number, row in enumerate(plot.rows):
        if row.missing or number % (5 * every if every > 1 else 1):
            continue
        if not any(near.missing for near in plot.rows[max(0, number - every + 1) : number + every]):
            y = TOP + plot.row_px * (number + 0.5) + 3.5
            words = span(row.first, row.last)
            parts.append(text(LEFT - 8, y, words, text_anchor="end", class_="tick"))
    parts.append(line(LEFT, TOP - 4, LEFT, plot.bottom, class_="axis"))
    parts.append(text(LEFT - 8, TOP - 26, "sequence", text_anchor="end", class_="tick"))
    return group(parts, class_="axes")


def _row(plot: Plot, number: int, row: Row) -> Markup:
    y = TOP + plot.row_px * number
    middle = y + plot.row_px / 2
    parts: list[str] = [element("title", row.told)]
    width = WIDTH - RIGHT - LEFT
    parts.append(rect(LEFT, y, width, plot.row_px, class_="band lost" if row.missing else "band"))
    parts += _waits(plot, row, middle)
    parts += _marks(plot, row, middle)
    return group(parts, class_="chunk", data_tip=row.told)


def _lost_labels(plot: Plot) -> Iterator[Markup]:
    """Name what is missing beside its red rows: once for rows that touch, where there is room."""
    free_from = 0.0
    for run in runs([n for n, row in enumerate(plot.rows) if row.missing], len(plot.rows)):
        rows = plot.rows[run[0] : run[-1] + 1]
        y = TOP + plot.row_px * (run[0] + len(run) / 2) + 3.5
        if y < free_from:
            continue
        free_from = y + LABEL_PX
        missing = [number for row in rows for number in row.missing]
        which = ranges(missing)
        words = which if len(which) <= LABEL_CHARS else f"{len(missing)} chunks"
        place = span(rows[0].first, rows[-1].last)
        yield text(LEFT - 8, y, place, text_anchor="end", class_="tick lost")
        yield text(WIDTH - RIGHT + 8, y, f"✕ {words} missing", class_="tick lost")


def _waits(plot: Plot, row: Row, middle: float) -> Iterator[Markup]:
    """A bar from where a chunk was received to where it was delivered: the longest of the row."""
    waiting = [chunk for chunk in row.chunks if chunk.delivered is not None]
    if not waiting:
        return
    longest = max(waiting, key=lambda chunk: chunk.waited)
    start, end = plot.x.at(longest.received), plot.x.at(longest.delivered or 0.0)
    if end - start > SHORT_PX:
        held = "wait held" if longest.waited >= WAIT_TOLD_MS else "wait"
        height = min(4.0, plot.row_px * 0.4)
        yield rect(start, middle - height / 2, end - start, height, class_=held)


def _marks(plot: Plot, row: Row, middle: float) -> Iterator[Markup]:
    size = min(3.6, plot.row_px * 0.36)
    # Marks of one row that fall on the same pixel say nothing more: thinned to half a mark.
    for at in _thinned(plot, (c.received for c in row.chunks), size):
        yield element("circle", cx=at, cy=middle, r=size, class_="received")
    for at in _thinned(plot, (c.acked for c in row.chunks), size):
        yield line(at, middle - size - 1, at, middle + size + 1, class_="acked")
    for at in _thinned(plot, (c.delivered for c in row.chunks), size):
        sides = f"l{size:.1f} {size:.1f}l{-size:.1f} {size:.1f}l{-size:.1f} {-size:.1f}"
        path = f"M{at:.1f} {middle - size:.1f}{sides}z"
        yield element("path", d=path, class_="delivered")


def _thinned(plot: Plot, times: Iterable[float | None], size: float) -> Iterator[float]:
    last: float | None = None
    for x in sorted(plot.x.at(at) for at in times if at is not None):
        if last is None or x - last >= size:
            last = x
            yield x


def _barrier(plot: Plot, when: Moments) -> Markup:
    """The time for which the end was held, over all rows."""
    if when.end_received is None or when.closed is None:
        return Markup("")
    start, end = plot.x.at(when.end_received), plot.x.at(when.closed)
    if end - start <= SHORT_PX:
        return Markup("")
    words = f"end held {seconds(when.end_held)}"
    return group(
        [
            element("title", f"stream_end came at {when.end_received:,.1f} ms; {words}"),
            rect(start, TOP - 4, end - start, plot.bottom - TOP + 4, class_="barrier"),
            text((start + end) / 2, plot.bottom + 11, words, text_anchor="middle", class_="tick"),
        ],
        class_="hold",
    )


def _moments(plot: Plot, when: Moments) -> Iterator[Markup]:
    marks = [
        (plot.x.at(at), at, name, words)
        for at, name, words in (
            (when.end_received, "ending", "bot's end"),
            *((at, "gap", "gap given up") for at in when.gaps[:1]),
            (when.closed, "end", "end"),
        )
        if at is not None
    ]
    for x, at, name, words in marks:
        after = min((other[0] - x for other in marks if other[0] > x), default=WIDTH)
        before = min((x - other[0] for other in marks if other[0] < x), default=WIDTH)
        # Two labels that would overlap stand on the outer sides of their lines.
        # At the left edge stands what the rows are.
        is_left = before < WORDS_PX or x - LEFT < WORDS_PX / 2
        anchor = "start" if is_left else "end" if after < WORDS_PX else "middle"
        same = name != "end" and when.closed is not None and when.closed - at < WAIT_TOLD_MS
        label = text(x, TOP - 26, "" if same else words, text_anchor=anchor, class_="tick")
        yield group(
            [
                element("title", f"{words}: {at:,.1f} ms"),
                line(x, TOP - 22, x, plot.bottom, class_=name),
                label,
            ],
            class_="moment",
        )


def _repairs(plot: Plot, when: Moments, row: TraceRow) -> Iterator[Markup]:
    """A cross where text of the summary took a missing row's place."""
    if row.repaired_by != "summary" or not when.repaired:
        return
    at = when.repaired[0]
    x = plot.x.at(at)
    for number, part in enumerate(plot.rows):
        if part.missing:
            y = TOP + plot.row_px * (number + 0.5)
            size = min(4.0, plot.row_px * 0.45)
            title = element("title", f"repaired from the summary at {at:,.1f} ms")
            path = f"M{x - size:.1f} {y:.1f}h{2 * size:.1f}M{x:.1f} {y - size:.1f}v{2 * size:.1f}"
            yield group([title, element("path", d=path, class_="repair")])
