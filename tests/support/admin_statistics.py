"""Statistics of trace rows, counted in the plainest way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from relay.admin.statistics import (
    BotFigures,
    HourFigures,
    Interval,
    LossCount,
    Percentiles,
    Statistics,
)
from relay.admin.trace_row import TraceRow


def _percentiles(low: Iterable[float | None], high: Iterable[float | None]) -> Percentiles:
    lows = [value for value in low if value is not None]
    highs = [value for value in high if value is not None]
    return Percentiles(median(lows) if lows else None, max(highs) if highs else None)


def _ack(rows: Sequence[TraceRow]) -> Percentiles:
    return _percentiles((r.ack_delay_p50 for r in rows), (r.ack_delay_p99 for r in rows))


def _delivery(rows: Sequence[TraceRow]) -> Percentiles:
    return _percentiles((r.delivery_delay_p50 for r in rows), (r.delivery_delay_p99 for r in rows))


def _first(rows: Sequence[TraceRow]) -> Percentiles:
    delays = [row.first_chunk_delay for row in rows]
    return _percentiles(delays, delays)


def _lossy(rows: Sequence[TraceRow]) -> list[TraceRow]:
    return [row for row in rows if row.missing_sequences]


def make_statistics(
    rows: Sequence[TraceRow], since: float, until: float, step_s: float
) -> Statistics:
    """Return what these rows say, with the highest value for the 99th percentile."""
    bot_ids = sorted({row.bot_id for row in rows}, key=lambda number: number or 0)
    by_bot = {number: [row for row in rows if row.bot_id == number] for number in bot_ids}
    bots = [
        BotFigures(number, len(own), len(_lossy(own)), _anomalies(own), _first(own))
        for number, own in by_bot.items()
    ]
    hours = [
        HourFigures(number, hour, len(within), _first(within))
        for number, own in by_bot.items()
        for hour in sorted({row.created_at // 3600 * 3600 for row in own})
        for within in [[row for row in own if row.created_at // 3600 * 3600 == hour]]
    ]
    starts = [since + index * step_s for index in range(int(-(-(until - since) // step_s)))]
    places = Counter((row.loss_hop or "", row.loss_position or "") for row in _lossy(rows))
    return Statistics(
        since=since,
        until=until,
        step_s=step_s,
        streams=len(rows),
        sampled=len(rows),
        by_status=dict(Counter(row.status for row in rows)),
        by_outcome=dict(Counter(row.outcome for row in rows)),
        lossy=len(_lossy(rows)),
        loss_rate=len(_lossy(rows)) / len(rows) if rows else 0.0,
        repaired=_repaired(rows),
        chunks=sum(row.sdk_chunk_count for row in rows),
        missing=sum(len(row.missing_sequences) for row in rows),
        losses=[LossCount(hop, position, count) for (hop, position), count in places.items()],
        ack=_ack(rows),
        delivery=_delivery(rows),
        first_chunk=_first(rows),
        bots=sorted(bots, key=lambda bot: bot.lossy / bot.streams, reverse=True),
        hours=hours,
        intervals=[
            _interval([row for row in rows if start <= row.created_at < start + step_s], start)
            for start in starts
        ],
    )


def _interval(rows: Sequence[TraceRow], start: float) -> Interval:
    return Interval(
        start=start,
        streams=len(rows),
        lossy=len(_lossy(rows)),
        anomalies=_anomalies(rows),
        repaired=_repaired(rows),
        ack=_ack(rows),
        delivery=_delivery(rows),
    )


def _anomalies(rows: Sequence[TraceRow]) -> int:
    return sum(row.status == "anomaly" for row in rows)


def _repaired(rows: Sequence[TraceRow]) -> int:
    return sum(row.repaired_by is not None for row in _lossy(rows))
