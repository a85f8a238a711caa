"""What many traces say together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LossCount:
    """Streams that lost chunks at one place."""

    hop: str
    """`bot_to_relay`, `relay_to_device` or `both`."""
    position: str
    """`head`, `middle`, `tail` or `mixed`."""
    streams: int


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Delays in milliseconds; None where nothing was measured.

    `p50` is the median over the streams of their medians, `p99` the 99th percentile over the
    streams of their 99th percentiles: an upper view, because chunks are not kept one by one.
    """

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class BotFigures:
    """One bot's streams in the span."""

    bot_id: int | None
    """None: questions of users without a bot."""
    streams: int
    lossy: int
    """Streams with a missing sequence."""
    anomalies: int
    first_chunk: Percentiles


@dataclass(frozen=True, slots=True)
class HourFigures:
    """How long first chunks took in one hour of one bot."""

    bot_id: int | None
    hour: float
    """Its beginning, seconds since the epoch."""
    streams: int
    first_chunk: Percentiles


@dataclass(frozen=True, slots=True)
class Interval:
    """One step of time, for drawing."""

    start: float
    """Seconds since the epoch."""
    streams: int
    lossy: int
    anomalies: int
    repaired: int
    ack: Percentiles
    delivery: Percentiles


@dataclass(frozen=True, slots=True)
class Statistics:
    """The streams of one span of time."""

    since: float
    """Seconds since the epoch, inclusive."""
    until: float
    """Exclusive."""
    step_s: float
    """How long each of `intervals` is, in seconds."""
    streams: int
    sampled: int
    """Of how many streams the percentiles are: the newest ones, where there are very many."""
    by_status: dict[str, int]
    by_outcome: dict[str, int]
    lossy: int
    """Streams with a missing sequence."""
    loss_rate: float
    """`lossy` of `streams`, 0 to 1; 0 without streams."""
    repaired: int
    """Lossy streams whose text was whole in the end."""
    chunks: int
    """Chunks that bots sent."""
    missing: int
    """Sequences that are missing."""
    losses: list[LossCount]
    ack: Percentiles
    delivery: Percentiles
    first_chunk: Percentiles
    bots: list[BotFigures]
    """Worst loss rate first."""
    hours: list[HourFigures]
    """By bot, then by time."""
    intervals: list[Interval]
    """From `since` on, without holes."""
