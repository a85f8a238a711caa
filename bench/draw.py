"""Figures of a bench as drawings: bars beside each other, and curves. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

from markupsafe import Markup

from relay.web.admin.draw import Scale, element, group, line, plain, rect, text, ticks

WIDTH: Final = 900.0
LEFT: Final = 250.0
RIGHT: Final = 80.0
BAR: Final = 18.0
HEAD: Final = 34.0
FOOT: Final = 14.0

COLUMNS: Final = 3
PANEL_HEIGHT: Final = 220.0
PANEL_LEFT: Final = 52.0
PANEL_RIGHT: Final = 24.0
PANEL_TOP: Final = 44.0
PANEL_BOTTOM: Final = 40.0

STYLE: Final = """
.paper{fill:#ffffff}.words,.tick{font-family:system-ui,sans-serif;fill:#333333}
.words{font-size:13px;font-weight:600}.tick{font-size:11px}
.grid{stroke:#e3e3e3}.axis{stroke:#888888}.bar{fill:#9aa4ae}.bar.ours{fill:#0b62b8}
.reach{stroke:#1a7f37}.floor{stroke:#b85c0b;stroke-dasharray:4 3}
.line{fill:none;stroke-width:1.6;stroke:#0b62b8}.dot{fill:#0b62b8}
@media(prefers-color-scheme:dark){.paper{fill:#15181c}.words,.tick{fill:#d6d6d6}
.grid{stroke:#2c3238}.axis{stroke:#777777}.bar{fill:#5d6670}.bar.ours{fill:#6cb2f5}
.reach{stroke:#56d364}.floor{stroke:#f0a35e}.line{stroke:#6cb2f5}.dot{fill:#6cb2f5}}
"""


@dataclass(frozen=True, slots=True)
class Bars:
    """One figure of many servers."""

    title: str
    bars: tuple[tuple[str, float], ...]
    """Name and value; a name that begins with `relay` is ours."""
    reach: float = 0.0
    floor: float = 0.0

    @property
    def height(self) -> float:
        """How much of the drawing it takes."""
        return HEAD + len(self.bars) * BAR + FOOT


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over another, which grows by factors."""

    title: str
    along: str
    points: tuple[tuple[float, float], ...]


def draw_bars(panels: Sequence[Bars], title: str) -> Markup:
    """Return the panels below each other, as `<svg>`."""
    parts, at = [], 0.0
    for panel in panels:
        parts.append(group(_bars(panel), transform=f"translate(0 {at:g})"))
        at += panel.height
    return _drawing(parts, at, title)


def draw_curves(curves: Sequence[Curve], title: str) -> Markup:
    """Return the curves, three in a row, as `<svg>`."""
    width = WIDTH / COLUMNS
    parts = [
        group(
            _curve(curve, width),
            transform=f"translate({at % COLUMNS * width:g} {at // COLUMNS * PANEL_HEIGHT:g})",
        )
        for at, curve in enumerate(curves)
    ]
    return _drawing(parts, -(-len(curves) // COLUMNS) * PANEL_HEIGHT, title)


def _drawing(parts: Sequence[Markup], height: float, title: str) -> Markup:
    return element(
        "svg",
        element("style", Markup(STYLE)),  # noqa: S704 - a constant of this file
        element("title", title),
        rect(0, 0, WIDTH, height, class_="paper"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_label=title,
    )


def _bars(panel: Bars) -> Iterator[Markup]:
    highest = max([1e-9, panel.reach, panel.floor, *(value for _, value in panel.bars)])
    x = Scale(0.0, highest, LEFT, WIDTH - RIGHT)
    bottom = HEAD + len(panel.bars) * BAR
    yield text(12, 22, panel.title, class_="words")
    for number, (name, value) in enumerate(panel.bars):
        top = HEAD + number * BAR
        ours = " ours" if name.startswith("relay") else ""
        yield text(LEFT - 8, top + 12, name, text_anchor="end", class_="tick")
        yield rect(LEFT, top + 2, x.at(value) - LEFT, BAR - 5, class_=f"bar{ours}")
        yield text(x.at(value) + 6, top + 12, figure(value), class_="tick")
    for kind, value in (("reach", panel.reach), ("floor", panel.floor)):
        if value:
            yield line(x.at(value), HEAD - 4, x.at(value), bottom, class_=kind)


def figure(value: float) -> str:
    """Return a value in as many digits as say something: `163,200`, `12.5`, `0.21`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _curve(curve: Curve, width: float) -> Iterator[Markup]:
    # Every step doubles or more, so the axis is that of their logarithm.
    places = [log2(max(1.0, along)) for along, _ in curve.points]
    x = Scale(places[0], max(places[-1], places[0] + 1), PANEL_LEFT, width - PANEL_RIGHT)
    top = max([1e-9, *(value for _, value in curve.points)]) * 1.15
    y = Scale(0.0, top, PANEL_HEIGHT - PANEL_BOTTOM, PANEL_TOP)
    yield text(PANEL_LEFT - 40, 22, curve.title, class_="words")
    for value in ticks(0.0, top, 4):
        yield line(PANEL_LEFT, y.at(value), width - PANEL_RIGHT, y.at(value), class_="grid")
        yield text(PANEL_LEFT - 6, y.at(value) + 4, plain(value), text_anchor="end", class_="tick")
    for place, (along, value) in zip(places, curve.points, strict=True):
        at = x.at(place)
        yield line(at, y.start, at, y.start + 4, class_="axis")
        yield text(at, y.start + 16, plain(along), text_anchor="middle", class_="tick")
        yield element("circle", cx=at, cy=y.at(value), r=2.4, class_="dot")
    yield line(PANEL_LEFT, y.start, width - PANEL_RIGHT, y.start, class_="axis")
    ways = (f"{x.at(p):.1f} {y.at(v):.1f}" for p, (_, v) in zip(places, curve.points, strict=True))
    yield element("path", d="M" + "L".join(ways), class_="line")
    middle = (PANEL_LEFT + width - PANEL_RIGHT) / 2
    yield text(middle, PANEL_HEIGHT - 6, curve.along, text_anchor="middle", class_="tick")
