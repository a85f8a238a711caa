"""A soak as a drawing: one panel for each figure, minutes below, the warm-up shaded. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from bench.soak.judge import Sample
from relay.web.admin.draw import Scale, element, group, line, plain, rect, text, ticks

WIDTH: Final = 900.0
COLUMNS: Final = 2
PANEL_HEIGHT: Final = 170.0
LEFT: Final = 54.0
RIGHT: Final = 14.0
TOP: Final = 34.0
BOTTOM: Final = 26.0
POINTS_MAX: Final = 600
"""More than a panel has pixels; the rest is thinned out."""

STYLE: Final = """
.paper{fill:#ffffff}.words,.tick,.key{font-family:system-ui,sans-serif}.words,.tick{fill:#333333}
.words{font-size:13px;font-weight:600}.tick{font-size:11px}.key{font-size:11px}
.grid{stroke:#e3e3e3}.axis{stroke:#888888}.warm{fill:#000000;opacity:0.05}
.line{fill:none;stroke-width:1.4}.first{stroke:#0b62b8}.second{stroke:#b85c0b}
.key.first{fill:#0b62b8;stroke:none}.key.second{fill:#b85c0b;stroke:none}
@media(prefers-color-scheme:dark){.paper{fill:#15181c}.words,.tick{fill:#d6d6d6}
.grid{stroke:#2c3238}.axis{stroke:#777777}.warm{fill:#ffffff}
.first{stroke:#6cb2f5}.second{stroke:#f0a35e}.key.first{fill:#6cb2f5}.key.second{fill:#f0a35e}}
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One or two figures over the same time."""

    title: str
    names: tuple[str, ...]


def draw_soak(
    samples: Sequence[Sample], panels: Sequence[Panel], *, warmup_s: float, crowd_s: float
) -> Markup:
    """Return the drawing as `<svg>`; `crowd_s` is when the last client left."""
    rows = -(-len(panels) // COLUMNS)
    height = rows * PANEL_HEIGHT
    width = WIDTH / COLUMNS
    thin = samples[:: max(1, len(samples) // POINTS_MAX)]
    parts: list[str] = [
        element("style", Markup(STYLE)),  # noqa: S704 - a constant of this file
        element("title", "A relay under churn"),
        rect(0, 0, WIDTH, height, class_="paper"),
    ]
    for number, panel in enumerate(panels):
        left, top = number % COLUMNS * width, number // COLUMNS * PANEL_HEIGHT
        drawn = _panel(thin, panel, width, warmup_s, crowd_s)
        parts.append(group(drawn, transform=f"translate({left:g} {top:g})"))
    return element(
        "svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img", aria_label="A relay under churn",
    )  # fmt: skip


def _panel(
    samples: Sequence[Sample], panel: Panel, width: float, warmup_s: float, crowd_s: float
) -> Iterator[Markup]:
    values = [sample.values[name] for sample in samples for name in panel.names]
    x = Scale(0.0, samples[-1].at / 60, LEFT, width - RIGHT)
    y = Scale(0.0, max([1.0, *values]) * 1.08, PANEL_HEIGHT - BOTTOM, TOP)
    yield text(LEFT, 20, panel.title, class_="words")
    for start, end in ((0.0, warmup_s), (crowd_s, samples[-1].at)):
        left = x.at(start / 60)
        yield rect(left, TOP, x.at(end / 60) - left, y.start - TOP, class_="warm")
    for value in ticks(y.low, y.high, 4):
        at = y.at(value)
        yield line(LEFT, at, width - RIGHT, at, class_="grid")
        yield text(LEFT - 6, at + 4, plain(value), text_anchor="end", class_="tick")
    for minute in ticks(x.low, x.high, 6):
        at = x.at(minute)
        yield line(at, y.start, at, y.start + 4, class_="axis")
        yield text(at, y.start + 17, f"{minute:g} min", text_anchor="middle", class_="tick")
    yield line(LEFT, y.start, width - RIGHT, y.start, class_="axis")
    kinds = ("first", "second")
    for number, (name, kind) in enumerate(zip(panel.names, kinds, strict=False)):
        places = (f"{x.at(s.at / 60):.1f} {y.at(s.values[name]):.1f}" for s in samples)
        yield element("path", d="M" + "L".join(places), class_=f"line {kind}")
        if len(panel.names) > 1:
            right = width - RIGHT - 110 * (len(panel.names) - 1 - number)
            yield text(right, 20, name, text_anchor="end", class_=f"key {kind}")
