"""The overview: how much is lost, how long things take, how much goes on, which bots are worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from relay.admin.statistics import Interval, Statistics
from relay.admin.story import seconds
from relay.web.admin.draw import plain
from relay.web.admin.draw_charts import Chart, Series, draw_chart
from relay.web.admin.page_filters import SPANS
from relay.web.admin.page_frame import Desk, Visit, seen
from relay.web.admin.page_render import percent

STEPS: Final[Mapping[str, float]] = {"1h": 60.0, "24h": 900.0, "7d": 7200.0}
"""How long a step of each span is, in seconds: 60 to 96 steps, a few pixels each."""

BOTS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing and what its lines mean: `(name, class, shape)`."""

    title: str
    chart: Markup
    legend: tuple[tuple[str, str], ...]


def dashboard_routes(desk: Desk) -> list[Route]:
    """Return the route of the overview."""
    return [seen(desk, "/admin", _show)]


async def _show(visit: Visit) -> Response:
    given = visit.request.query_params.get("span", "")
    name = given if given in SPANS else "24h"
    step = STEPS[name]
    # Whole steps, so that a step's figures do not change from one look to the next.
    until = (visit.desk.now() // step + 1) * step
    since = until - SPANS[name][1]
    figures = await visit.desk.store.archive.statistics(since, until, step)
    bots = await visit.desk.store.people.list_bots()
    return visit.page(
        "dashboard.html",
        span=name,
        spans=SPANS,
        figures=figures,
        panels=_panels(figures),
        worst=figures.bots[:BOTS_MAX],
        names={bot.bot_id: bot.name for bot in bots},
        online=visit.desk.live.online_bots(),
        bot_count=len(bots),
        open=visit.desk.live.live_streams(),
        losses=sorted(figures.losses, key=lambda loss: loss.streams, reverse=True),
        trouble=figures.by_status.get("anomaly", 0),
    )


def _panels(figures: Statistics) -> list[Panel]:
    steps, per_minute = figures.intervals, 60.0 / figures.step_s
    rate = [100.0 * step.lossy / step.streams if step.streams else None for step in steps]
    return [
        Panel(
            "Streams per minute",
            _chart(
                figures,
                "Streams per minute",
                Series("streams", [s.streams * per_minute for s in steps], "first", bars=True),
                Series("anomalies", [s.anomalies * per_minute for s in steps], "bad", bars=True),
            ),
            (("streams", "bar first"), ("of them anomalies", "bar bad")),
        ),
        Panel(
            "Loss rate",
            draw_chart(
                Chart(
                    "Streams that lost chunks, in percent",
                    figures.since,
                    figures.step_s,
                    (Series("loss rate", rate, "bad"),),
                    label=_percent,
                    at_least=5.0,
                )
            ),
            (("streams with a missing chunk", "line bad"),),
        ),
        Panel("Delivery delay", *_delays(figures, "Delivery delay", "delivery")),
        Panel("ACK delay", *_delays(figures, "ACK delay", "ack")),
    ]


def _chart(figures: Statistics, title: str, *series: Series) -> Markup:
    return draw_chart(Chart(title, figures.since, figures.step_s, series, at_least=0.2))


def _delays(
    figures: Statistics, title: str, which: str
) -> tuple[Markup, tuple[tuple[str, str], ...]]:
    median = [_of(step, which, "p50") for step in figures.intervals]
    high = [_of(step, which, "p99") for step in figures.intervals]
    series = (Series("p99", high, "second"), Series("p50", median, "first"))
    chart = Chart(title, figures.since, figures.step_s, series, label=seconds, at_least=1.0)
    return draw_chart(chart), (("median", "line first"), ("99th percentile", "line second"))


def _of(step: Interval, which: str, rank: str) -> float | None:
    percentiles = step.ack if which == "ack" else step.delivery
    return percentiles.p50 if rank == "p50" else percentiles.p99


def _percent(value: float) -> str:
    return f"{plain(value)} %" if value == round(value) else percent(value / 100)
