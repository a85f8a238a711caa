"""Reads what many traces say together.

What is counted is counted by the database, over all traces of the span. Percentiles are of a
sample, the newest ones, which is read a little at a time: chunks share this event loop.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

import sqlalchemy
from sqlalchemy import CTE, ColumnElement, Integer, and_, case, func
from sqlmodel import col

from relay.admin.statistics import Statistics
from relay.admin.traces import TraceOrder
from relay.errors import BadRequest
from relay.protocol.status import Outcome, Status
from relay.store.engine import Database
from relay.store.models import StreamTrace, UtcTime, moment
from relay.store.trace_cursor import CREATED, NUMBER, Place, behind, sorting
from relay.store.trace_filter import given_moment
from relay.store.trace_tally import Count, Tally, tell

INTERVALS_MAX: Final = 2000
"""How many steps a span may have: more than a screen has columns for."""

SPAN_S_MAX: Final = 31 * 86400.0
"""How long a span may be; the hours of each bot are listed."""

SAMPLE_MAX: Final = 20_000
"""Of how many traces the percentiles are."""

SAMPLE_STEP: Final = 250
"""How many of them are read at once."""

SPANS_AT_ONCE: Final = 60
"""How many spans a query counts: writing one of thousands would hold the event loop up."""

HOUR_S: Final = 3600.0

_LOSSY: Final = col(StreamTrace.missing_count) > 0


async def statistics(database: Database, since: float, until: float, step_s: float) -> Statistics:
    """Return what the traces of this span say.

    A stream is repaired where chunks are missing and its outcome says so. Raises `BadRequest`
    for a span that is empty or longer than `SPAN_S_MAX`, or has too many steps.
    """
    begin, end = given_moment(since, "since"), given_moment(until, "until")
    if not 0 < until - since <= SPAN_S_MAX:
        raise BadRequest(f"ask for a span of at most {SPAN_S_MAX / 86400:g} days", field="until")
    if not (until - since) / INTERVALS_MAX <= step_s < math.inf:
        raise BadRequest(f"ask for at most {INTERVALS_MAX} steps", field="step")
    starts = [since + number * step_s for number in range(math.ceil((until - since) / step_s))]
    first_hour = math.floor(since / HOUR_S) * HOUR_S
    hours = [
        first_hour + number * HOUR_S for number in range(math.ceil((until - first_hour) / HOUR_S))
    ]
    steps = [begin, *map(moment, starts[1:])]
    whole_hours = [begin, *map(moment, hours[1:])]
    tally = Tally()
    await _count(database, tally, begin, end)
    await _count_intervals(database, tally, [*steps, end])
    await _count_hours(database, tally, [*whole_hours, end])
    await _sample(database, tally, steps, whole_hours, end)
    return await tell(tally, since, until, step_s, starts, hours)


# --- counting ---------------------------------------------------------------------------


async def _count(database: Database, tally: Tally, begin: datetime, end: datetime) -> None:
    trace = StreamTrace
    groups = (
        *(col(trace.bot_id), col(trace.status), col(trace.outcome)),
        *(col(trace.loss_hop), col(trace.loss_position), _LOSSY.label("lossy")),
    )
    sums = (
        func.count().label("streams"),
        func.sum(col(trace.sdk_chunk_count)).label("chunks"),
        func.sum(col(trace.missing_count)).label("missing"),
    )
    query = sqlalchemy.select(*groups, *sums).where(begin <= CREATED, end > CREATED)
    async with database.read() as session:
        rows = (await (await session.connection()).execute(query.group_by(*groups))).all()
    for row in rows:
        lossy = bool(row.lossy)
        anomaly = row.status == Status.ANOMALY.label
        repaired = lossy and row.outcome == Outcome.REPAIRED
        for counted in (tally.all, tally.bots[row.bot_id]):
            counted.add(row.streams, lossy=lossy, anomaly=anomaly, repaired=repaired)
        # PostgreSQL adds up as Decimal.
        tally.chunks += int(row.chunks)
        tally.missing += int(row.missing)
        tally.by_status[row.status] += row.streams
        tally.by_outcome[row.outcome] += row.streams
        if lossy and row.loss_hop and row.loss_position:
            tally.losses[row.loss_hop, row.loss_position] += row.streams


async def _count_intervals(database: Database, tally: Tally, bounds: Sequence[datetime]) -> None:
    anomaly = col(StreamTrace.status) == Status.ANOMALY.label
    repaired = and_(_LOSSY, col(StreamTrace.outcome) == Outcome.REPAIRED.value)
    sums = [func.sum(case((each, 1), else_=0)) for each in (_LOSSY, anomaly, repaired)]
    for spans in _spans(bounds):
        query = (
            sqlalchemy.select(spans.c.number, func.count(), *sums)
            .join_from(spans, StreamTrace, _within(spans))
            .group_by(spans.c.number)
        )
        async with database.read() as session:
            rows = (await (await session.connection()).execute(query)).all()
        for number, streams, *counts in rows:
            tally.intervals[number] = Count(streams, *map(int, counts))


async def _count_hours(database: Database, tally: Tally, bounds: Sequence[datetime]) -> None:
    for spans in _spans(bounds):
        groups = (col(StreamTrace.bot_id), spans.c.number)
        query = (
            sqlalchemy.select(*groups, func.count())
            .join_from(spans, StreamTrace, _within(spans))
            .group_by(*groups)
        )
        async with database.read() as session:
            rows = (await (await session.connection()).execute(query)).all()
        tally.hours |= {(bot_id, hour): streams for bot_id, hour, streams in rows}


def _spans(bounds: Sequence[datetime]) -> Iterator[CTE]:
    """Yield the spans between these bounds as tables of a few, to join the traces with.

    The databases have no common way to divide a time, and all have an index to look it up in.
    """
    spans = [(number, *pair) for number, pair in enumerate(pairwise(bounds))]
    for start in range(0, len(spans), SPANS_AT_ONCE):
        values = sqlalchemy.values(
            sqlalchemy.column("number", Integer()),
            sqlalchemy.column("begins", UtcTime()),
            sqlalchemy.column("ends", UtcTime()),
            name="spans",
        )
        yield values.data(spans[start : start + SPANS_AT_ONCE]).cte("spans")


def _within(spans: CTE) -> ColumnElement[bool]:
    return and_(spans.c.begins <= CREATED, spans.c.ends > CREATED)


# --- the sample -------------------------------------------------------------------------


async def _sample(
    database: Database,
    tally: Tally,
    steps: Sequence[datetime],
    hours: Sequence[datetime],
    end: datetime,
) -> None:
    trace = StreamTrace
    delays = (
        *(col(trace.first_chunk_delay), col(trace.ack_delay_p50), col(trace.ack_delay_p99)),
        *(col(trace.delivery_delay_p50), col(trace.delivery_delay_p99)),
    )
    query = (
        sqlalchemy.select(NUMBER, CREATED, col(trace.bot_id), *delays)
        .where(steps[0] <= CREATED, end > CREATED)
        .order_by(*sorting(TraceOrder.CREATED, descending=True))
    )
    rest = query
    while left := min(SAMPLE_STEP, SAMPLE_MAX - tally.sampled):
        async with database.read() as session:
            rows = (await (await session.connection()).execute(rest.limit(left))).all()
        for _, created_at, bot_id, *values in rows:
            interval = bisect_right(steps, created_at) - 1
            hour = bisect_right(hours, created_at) - 1
            for of in ("all", ("bot", bot_id), ("hour", bot_id, hour), ("interval", interval)):
                tally.delays[of].add(values)
        tally.sampled += len(rows)
        if len(rows) < left:
            return
        last = Place(rows[-1].created_at, rows[-1].id)
        rest = query.where(behind(TraceOrder.CREATED, last, descending=True))
        await asyncio.sleep(0)
