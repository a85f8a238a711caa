"""What was found of many traces, added up, and how it is told. Nothing here knows a database."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.admin.statistics import (
    BotFigures,
    HourFigures,
    Interval,
    LossCount,
    Percentiles,
    Statistics,
)

BOTS_MAX: Final = 200
"""How many bots are listed: the worst ones, and their hours."""


@dataclass(slots=True)
class Count:
    """What was counted of some streams."""

    streams: int = 0
    lossy: int = 0
    anomalies: int = 0
    repaired: int = 0

    def add(self, streams: int, *, lossy: bool, anomaly: bool, repaired: bool) -> None:
        """Count so many streams that are alike."""
        self.streams += streams
        self.lossy += streams * lossy
        self.anomalies += streams * anomaly
        self.repaired += streams * repaired


@dataclass(slots=True)
class Delays:
    """The delays of some streams, each stream's median and 99th percentile."""

    first_chunk: list[float] = field(default_factory=list)
    ack_p50: list[float] = field(default_factory=list)
    ack_p99: list[float] = field(default_factory=list)
    delivery_p50: list[float] = field(default_factory=list)
    delivery_p99: list[float] = field(default_factory=list)

    def add(self, values: Sequence[float | None]) -> None:
        """Add one stream's delays, in the order of the fields; None where it has none."""
        ack, delivery = (self.ack_p50, self.ack_p99), (self.delivery_p50, self.delivery_p99)
        for to, value in zip((self.first_chunk, *ack, *delivery), values, strict=True):
            if value is not None:
                to.append(value)


@dataclass(slots=True)
class Tally:
    """Everything that was found, by what it is told of."""

    all: Count = field(default_factory=Count)
    chunks: int = 0
    missing: int = 0
    by_status: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    by_outcome: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    losses: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    bots: dict[int | None, Count] = field(default_factory=lambda: defaultdict(Count))
    intervals: dict[int, Count] = field(default_factory=lambda: defaultdict(Count))
    hours: dict[tuple[int | None, int], int] = field(default_factory=dict)
    sampled: int = 0
    delays: dict[Hashable, Delays] = field(default_factory=lambda: defaultdict(Delays))
    """By `"all"`, `("bot", id)`, `("hour", id, number)` and `("interval", number)`."""


async def tell(
    tally: Tally,
    since: float,
    until: float,
    step_s: float,
    starts: Sequence[float],
    hours: Sequence[float],
) -> Statistics:
    """Return what was found. `starts` and `hours` are when each interval and each hour begins."""
    bots = []
    for bot_id, count in tally.bots.items():
        first = _first_chunk(tally, "bot", bot_id)
        bots.append(BotFigures(bot_id, count.streams, count.lossy, count.anomalies, first))
        await asyncio.sleep(0)
    bots = sorted(bots, key=_worst_first)[:BOTS_MAX]
    listed = {bot.bot_id for bot in bots}
    by_hour = []
    for (bot_id, hour), streams in sorted(tally.hours.items(), key=lambda item: _by_bot(*item[0])):
        if bot_id in listed:
            first = _first_chunk(tally, "hour", bot_id, hour)
            by_hour.append(HourFigures(bot_id, hours[hour], streams, first))
            await asyncio.sleep(0)
    intervals = []
    for number, start in enumerate(starts):
        count = tally.intervals.get(number, Count())
        ack, delivery = _both(tally.delays.get(("interval", number), Delays()))
        told = (count.streams, count.lossy, count.anomalies, count.repaired)
        intervals.append(Interval(start, *told, ack, delivery))
        await asyncio.sleep(0)
    everything = tally.delays.get("all", Delays())
    ack, delivery = await asyncio.to_thread(_both, everything)
    return Statistics(
        since=since,
        until=until,
        step_s=step_s,
        streams=tally.all.streams,
        sampled=tally.sampled,
        by_status=dict(sorted(tally.by_status.items())),
        by_outcome=dict(sorted(tally.by_outcome.items())),
        lossy=tally.all.lossy,
        loss_rate=tally.all.lossy / tally.all.streams if tally.all.streams else 0.0,
        repaired=tally.all.repaired,
        chunks=tally.chunks,
        missing=tally.missing,
        losses=[LossCount(*where, streams) for where, streams in sorted(tally.losses.items())],
        ack=ack,
        delivery=delivery,
        first_chunk=_percentiles(everything.first_chunk, everything.first_chunk),
        bots=bots,
        hours=by_hour,
        intervals=intervals,
    )


def _worst_first(bot: BotFigures) -> tuple[float, int, int, bool, int]:
    rate = bot.lossy / bot.streams
    return (-rate, -bot.anomalies, -bot.streams, *_by_bot(bot.bot_id, 0)[:2])


def _by_bot(bot_id: int | None, hour: int) -> tuple[bool, int, int]:
    return bot_id is None, bot_id or 0, hour


def _first_chunk(tally: Tally, *of: Hashable) -> Percentiles:
    delays = tally.delays.get(of, Delays())
    return _percentiles(delays.first_chunk, delays.first_chunk)


def _both(delays: Delays) -> tuple[Percentiles, Percentiles]:
    ack = _percentiles(delays.ack_p50, delays.ack_p99)
    return ack, _percentiles(delays.delivery_p50, delays.delivery_p99)


def _percentiles(medians: Iterable[float], upper: Iterable[float]) -> Percentiles:
    return Percentiles(percentile(medians, 50), percentile(upper, 99))


def percentile(values: Iterable[float], percent: int) -> float | None:
    """Return the percentile, interpolated and rounded to a microsecond; None for no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    below, rest = divmod((len(ordered) - 1) * percent, 100)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return round(low + (high - low) * rest / 100, 3)
