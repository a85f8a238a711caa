"""What the tests of stored traces share: many of them, and what is plainly to be said of them.

The same checks run on SQLite (tests/unit/store) and on PostgreSQL (tests/integration).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from statistics import quantiles

from relay.admin.statistics import (
    BotFigures,
    HourFigures,
    Interval,
    LossCount,
    Percentiles,
    Statistics,
)
from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceFilter, TraceOrder, TraceQuery
from relay.store.admin_traces import TraceArchive
from relay.store.engine import Database
from relay.store.models import moment
from relay.store.traces import upsert_batch
from tests.support.store import NOW, trace_row

MISSING = {"head": [0], "tail": [8, 9], "mixed": [1, 9]}


def many_rows(count: int, seed: int = 1) -> list[TraceRow]:
    """Traces with equal values and none, in the order of their row numbers."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        position = chance.choice([None, None, "head", "tail", "mixed"])
        row = trace_row(
            number,
            bot_id=chance.choice([None, 1, 2, 3]),
            user_id=chance.choice(["anna", "ben"]),
            status="anomaly" if position else "completed",
            outcome=chance.choice(["repaired", "incomplete"]) if position else "completed",
            missing_sequences=MISSING[position] if position else [],
            loss_position=position,
            loss_hop=chance.choice(["bot_to_relay", "both"]) if position else None,
            repaired_by=None,
            sdk_chunk_count=chance.choice([0, 10, 10, 2**40]),
            first_chunk_delay=chance.choice([None, None, 5, 5, 900]),
            ack_delay_p50=chance.choice([None, 0.125, 0.25]),
            ack_delay_p99=chance.choice([None, 0.5, 1.75]),
            delivery_delay_p50=chance.choice([None, 0.1, 0.3]),
            delivery_delay_p99=chance.choice([None, None, 0.1 + 0.2, 0.3, 12.0]),
            anomaly={"type": "chunk_loss"} if position else None,
        )
        # By the microsecond, on the second, and hours apart; several at the same moment.
        at = NOW + chance.choice([0, 1e-6, 0.75, 60, 3600, 7200.5])
        rows.append(replace(row, created_at=moment(at).timestamp()))
    return rows


FILTERS = (
    TraceFilter(),
    TraceFilter(status="anomaly"),
    TraceFilter(bot_id=2, user_id="anna"),
    TraceFilter(since=moment(NOW + 1e-6).timestamp(), until=NOW + 3600),
    TraceFilter(anomaly="CHUNK_"),
    TraceFilter(loss_position="tail", loss_hop="both"),
    TraceFilter(status="nothing"),
)


def is_wanted(where: TraceFilter, row: TraceRow) -> bool:
    """Whether the row is wanted, in Python."""
    names = ["status", "outcome", "bot_id", "message_id", "user_id", "agent_id"]
    names += ["loss_position", "loss_hop", "repaired_by", "sdk_version"]
    same = all(getattr(where, name) in (None, getattr(row, name)) for name in names)
    since = where.since is None or row.created_at >= where.since
    until = where.until is None or row.created_at < where.until
    found = where.anomaly is None or where.anomaly.lower() in str(row.anomaly).lower()
    return same and since and until and found


def in_order(rows: Sequence[TraceRow], order: TraceOrder, *, descending: bool) -> list[str]:
    """The ids in the order that is asked for; those without a value last."""

    def value(row: TraceRow) -> float | None:
        match order:
            case TraceOrder.CREATED:
                return 0
            case TraceOrder.MISSING:
                return len(row.missing_sequences)
            case TraceOrder.CHUNKS:
                return row.sdk_chunk_count
            case TraceOrder.FIRST_CHUNK:
                return row.first_chunk_delay
            case TraceOrder.DELIVERY:
                return row.delivery_delay_p99

    def key(row: TraceRow) -> tuple[float, float, int]:
        return value(row) or 0, row.created_at, int(row.trace_id.removeprefix("trace-"))

    there = sorted((row for row in rows if value(row) is not None), key=key, reverse=descending)
    none = sorted((row for row in rows if value(row) is None), key=key, reverse=descending)
    return [row.trace_id for row in (*there, *none)]


async def walk(archive: TraceArchive, query: TraceQuery) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    while True:
        page = await archive.trace_page(query)
        assert len(page.traces) <= query.limit
        found += [trace.trace_id for trace in page.traces]
        if page.next_cursor is None:
            return found
        assert len(page.traces) == query.limit
        query = replace(query, cursor=page.next_cursor)


async def check_pages(database: Database) -> None:
    """Walking all pages yields each wanted trace once and in order, however it is asked."""
    rows = many_rows(40)
    await upsert_batch(database, rows, now=NOW)
    archive = TraceArchive(database)
    for where, order, descending in product(FILTERS, TraceOrder, (True, False)):
        limit = 3 if where.is_empty else 7
        query = TraceQuery(where, order, descending=descending, limit=limit)
        wanted = [row for row in rows if is_wanted(where, row)]
        expected = in_order(wanted, order, descending=descending)
        assert await walk(archive, query) == expected, query


async def check_statistics(database: Database) -> None:
    """What is said of a span is what plain Python says of its rows."""
    rows = many_rows(400, seed=2)
    await upsert_batch(database, rows, now=NOW)
    archive = TraceArchive(database)
    for since, until, step in (
        (NOW, NOW + 7300, 60.0),
        (moment(NOW + 1e-6).timestamp(), NOW + 7200.5, 0.75 * 3600),
        (NOW - 86400.0, NOW + 86400, 1000.1),
        (NOW - 10, NOW - 5, 5.0),
    ):
        expected = plain_statistics(rows, since, until, step)
        assert await archive.statistics(since, until, step) == expected


async def check_export_and_deletion(database: Database) -> None:
    """All that are wanted and no other, newest first, whole."""
    rows = many_rows(300, seed=3)
    await upsert_batch(database, rows, now=NOW)
    archive = TraceArchive(database)
    where = TraceFilter(bot_id=2)
    wanted = [row for row in rows if row.bot_id == 2]
    found = [row async for some in archive.export_traces(where) for row in some]
    expected = in_order(wanted, TraceOrder.CREATED, descending=True)
    assert [row.trace_id for row in found] == expected
    assert {row.trace_id: row for row in found} == {row.trace_id: row for row in wanted}
    assert await archive.delete_traces(where) == len(wanted)
    assert await archive.delete_traces(where) == 0
    left = [row.trace_id async for some in archive.export_traces(TraceFilter()) for row in some]
    rest = [row for row in rows if row.bot_id != 2]
    assert left == in_order(rest, TraceOrder.CREATED, descending=True)


def plain_statistics(
    rows: Sequence[TraceRow], since: float, until: float, step_s: float
) -> Statistics:
    """What the rows of this span say, counted in the plainest way."""
    rows = [row for row in rows if since <= row.created_at < until]
    lossy = [row for row in rows if row.missing_sequences]
    bots = [_bot(bot_id, _of(rows, bot_id)) for bot_id in {row.bot_id for row in rows}]
    first_hour = since // 3600 * 3600
    hours = [
        HourFigures(bot_id, hour, len(within), _first(within))
        for bot_id in (1, 2, 3, None)
        for hour in [first_hour + 3600 * n for n in range(60)]
        if (within := [r for r in _of(rows, bot_id) if hour <= r.created_at < hour + 3600])
    ]
    intervals = []
    number = 0
    while (start := since + number * step_s) < until:
        end = since + (number + 1) * step_s
        within = [row for row in rows if start <= row.created_at < end]
        intervals.append(_interval(start, within))
        number += 1
    losses = Counter((row.loss_hop, row.loss_position) for row in lossy)
    return Statistics(
        since=since,
        until=until,
        step_s=step_s,
        streams=len(rows),
        sampled=len(rows),
        by_status=Counter(row.status for row in rows),
        by_outcome=Counter(row.outcome for row in rows),
        lossy=len(lossy),
        loss_rate=len(lossy) / len(rows) if rows else 0.0,
        repaired=sum(row.outcome == "repaired" for row in lossy),
        chunks=sum(row.sdk_chunk_count for row in rows),
        missing=sum(len(row.missing_sequences) for row in rows),
        losses=[LossCount(str(h), str(p), n) for (h, p), n in sorted(losses.items(), key=str)],
        ack=_ack(rows),
        delivery=_delivery(rows),
        first_chunk=_first(rows),
        bots=sorted(bots, key=lambda bot: -bot.lossy / bot.streams),
        hours=hours,
        intervals=intervals,
    )


def _of(rows: Sequence[TraceRow], bot_id: int | None) -> list[TraceRow]:
    return [row for row in rows if row.bot_id == bot_id]


def _bot(bot_id: int | None, rows: Sequence[TraceRow]) -> BotFigures:
    lossy = sum(bool(row.missing_sequences) for row in rows)
    anomalies = sum(row.status == "anomaly" for row in rows)
    return BotFigures(bot_id, len(rows), lossy, anomalies, _first(rows))


def _interval(start: float, rows: Sequence[TraceRow]) -> Interval:
    lossy = [row for row in rows if row.missing_sequences]
    repaired = sum(row.outcome == "repaired" for row in lossy)
    anomalies = sum(row.status == "anomaly" for row in rows)
    return Interval(start, len(rows), len(lossy), anomalies, repaired, _ack(rows), _delivery(rows))


def _first(rows: Sequence[TraceRow]) -> Percentiles:
    values = [row.first_chunk_delay for row in rows]
    return Percentiles(_percentile(values, 50), _percentile(values, 99))


def _ack(rows: Sequence[TraceRow]) -> Percentiles:
    p50, p99 = [row.ack_delay_p50 for row in rows], [row.ack_delay_p99 for row in rows]
    return Percentiles(_percentile(p50, 50), _percentile(p99, 99))


def _delivery(rows: Sequence[TraceRow]) -> Percentiles:
    p50, p99 = [row.delivery_delay_p50 for row in rows], [row.delivery_delay_p99 for row in rows]
    return Percentiles(_percentile(p50, 50), _percentile(p99, 99))


def _percentile(values: Sequence[float | None], percent: int) -> float | None:
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return round(there[0], 3) if there else None
    return round(quantiles(there, n=100, method="inclusive")[percent - 1], 3)
