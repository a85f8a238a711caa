"""Figures over time, for the dashboard: lines and bars, round axes, exact values to hover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from relay.web.admin.draw import (
    Scale,
    clock_label,
    element,
    group,
    line,
    plain,
    rect,
    text,
    ticks,
    time_ticks,
)

WIDTH: Final = 560.0
HEIGHT: Final = 190.0
LEFT: Final = 52.0
RIGHT: Final = 12.0
TOP: Final = 12.0
BOTTOM: Final = 24.0
DOT_R: Final = 2.2


@dataclass(frozen=True, slots=True)
class Series:
    """One line or row of bars; a value is None where nothing was measured."""

    name: str
    values: Sequence[float | None]
    kind: str
    """Its class: `first` is drawn solid, `second` dashed, `bad` as what went wrong."""
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over the same steps of time."""

    title: str
    since: float
    """Seconds since the epoch."""
    step_s: float
    series: tuple[Series, ...]
    label: Callable[[float], str] = plain
    """Writes a value, with its unit."""
    at_least: float = 1.0
    """How high the axis reaches at least, so that a quiet hour looks quiet."""


def draw_chart(chart: Chart) -> Markup:
    """Return the chart as `<svg>`. Without any value it says that there is none."""
    count = max((len(series.values) for series in chart.series), default=0)
    until = chart.since + max(1, count) * chart.step_s
    known = [v for series in chart.series for v in series.values if v is not None]
    high = max([chart.at_least, *known]) * 1.05
    x = Scale(chart.since, until, LEFT, WIDTH - RIGHT)
    y = Scale(0.0, high, HEIGHT - BOTTOM, TOP)
    parts: list[str] = [element("title", chart.title), _axes(chart, x, y, until - chart.since)]
    for series in chart.series:
        parts += _bars(chart, series, x, y) if series.bars else _line(chart, series, x, y)
    if not known:
        middle = (LEFT + WIDTH - RIGHT) / 2
        words = "nothing was measured"
        parts.append(text(middle, HEIGHT / 2, words, text_anchor="middle", class_="none"))
    parts += _slots(chart, count, x)
    return element(
        "svg", *parts, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", class_="chart", role="img",
        aria_label=chart.title,
    )  # fmt: skip


def _axes(chart: Chart, x: Scale, y: Scale, span_s: float) -> Markup:
    parts: list[str] = []
    for value in ticks(y.low, y.high, 4):
        at = y.at(value)
        parts.append(line(LEFT, at, WIDTH - RIGHT, at, class_="grid"))
        words = chart.label(value)
        parts.append(text(LEFT - 6, at + 3.5, words, text_anchor="end", class_="tick"))
    for moment in time_ticks(x.low, x.high, 6):
        at = x.at(moment)
        parts.append(line(at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 4, class_="axis"))
        words = clock_label(moment, span_s)
        parts.append(text(at, HEIGHT - 7, words, text_anchor="middle", class_="tick"))
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, class_="axis"))
    return group(parts, class_="axes")


def _bars(chart: Chart, series: Series, x: Scale, y: Scale) -> Iterator[Markup]:
    for number, value in enumerate(series.values):
        if value:
            start = x.at(chart.since + number * chart.step_s)
            width = x.at(chart.since + (number + 1) * chart.step_s) - start
            top = y.at(value)
            gap = 1.0 if width > 3 else 0.0  # noqa: PLR2004 - pixels
            yield rect(start, top, width - gap, y.start - top, class_=f"bar {series.kind}")


def _line(chart: Chart, series: Series, x: Scale, y: Scale) -> Iterator[Markup]:
    """A line through neighbours that are known; a lonely value is a dot."""
    middle = [x.at(chart.since + (n + 0.5) * chart.step_s) for n in range(len(series.values))]
    for run in _known(series.values):
        places = [(middle[n], y.at(series.values[n] or 0.0)) for n in run]
        if len(places) == 1:
            at, top = places[0]
            yield element("circle", cx=at, cy=top, r=DOT_R, class_=f"dot {series.kind}")
        else:
            path = "M" + "L".join(f"{at:.1f} {top:.1f}" for at, top in places)
            yield element("path", d=path, class_=f"line {series.kind}")


def _known(values: Sequence[float | None]) -> Iterator[list[int]]:
    run: list[int] = []
    for number, value in enumerate(values):
        if value is not None:
            run.append(number)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _slots(chart: Chart, count: int, x: Scale) -> Iterable[Markup]:
    """One invisible column for each step, which tells its values."""
    for number in range(count):
        since = chart.since + number * chart.step_s
        said = [clock_label(since, 0.0) + " UTC"]
        for series in chart.series:
            value = series.values[number] if number < len(series.values) else None
            said.append(f"{series.name}  {'-' if value is None else chart.label(value)}")
        told = "\n".join(said)
        start = x.at(since)
        width = x.at(since + chart.step_s) - start
        column = rect(start, TOP, width, HEIGHT - TOP - BOTTOM)
        yield group([element("title", told), column], class_="slot", data_tip=told)
