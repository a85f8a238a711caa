"""What drawings are made of: SVG elements, scales and axes. Pure: values in, markup out.

No element has a style attribute, because the page's Content-Security-Policy refuses it: looks are
classes, and the style sheet knows them in light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Final

from markupsafe import Markup, escape

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TIME_STEPS: Final = (
    _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 2 * _HOUR, 3 * _HOUR, 4 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY,
)  # fmt: skip

Attribute = str | int | float | None


def element(name: str, *children: str, **attributes: Attribute) -> Markup:
    """Return an element. Children that are no markup yet, and all attributes, are escaped.

    `class_` is the attribute `class`, an underline within a name is a hyphen, None leaves an
    attribute out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    tag = Markup(name)  # noqa: S704 - names are written in this package, never given
    return Markup("<{}{}>{}</{}>").format(tag, written, inner, tag)


def _value(value: str | float) -> str:
    # A tenth of a pixel is enough, and 5,000 chunks times three marks are many digits.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def group(children: Iterable[str], **attributes: Attribute) -> Markup:
    """Return a `<g>` of these."""
    return element("g", *children, **attributes)


def text(x: float, y: float, words: str, **attributes: Attribute) -> Markup:
    """Return a text; `text_anchor` and `class_` as attributes."""
    return element("text", words, x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Attribute) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def rect(x: float, y: float, width: float, height: float, **attributes: Attribute) -> Markup:
    """Return a rectangle; never of a negative size."""
    return element("rect", x=x, y=y, width=max(0.0, width), height=max(0.0, height), **attributes)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value; the start where there is only one value."""
        if self.high <= self.low:
            return self.start
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def __contains__(self, value: float) -> bool:
        """Whether this value is on the scale."""
        return self.low <= value <= self.high


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return at most about `count` round numbers between `low` and `high`."""
    span = high - low
    if span <= 0 or count < 1:
        return [low]
    raw = span / count
    power = 10.0 ** floor(log10(raw))
    step = next((s * power for s in _STEPS if s * power >= raw), 10 * power)
    first = ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, floor(high / step + 1e-9) + 1)]


def time_ticks(since: float, until: float, count: int) -> list[float]:
    """Return at most about `count` round moments (Unix seconds, UTC) between the two."""
    raw = (until - since) / max(1, count)
    step = next((s for s in _TIME_STEPS if s >= raw), _TIME_STEPS[-1])
    return [float(n * step) for n in range(ceil(since / step), floor(until / step) + 1)]


def clock_label(at: float, span_s: float) -> str:
    """Return a moment as an axis shows it, in UTC: `08:41`, or with its day where it spans days."""
    moment = datetime.fromtimestamp(at, UTC)
    if span_s <= 1.5 * _DAY:
        return moment.strftime("%H:%M")
    return moment.strftime("%d %b") if moment.hour == 0 else moment.strftime("%d %b %H:%M")


def plain(value: float) -> str:
    """Return a number as an axis shows it: `0.5`, `20`, `1,500`."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:g}"  # noqa: PLR2004
