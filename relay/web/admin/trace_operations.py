"""Operations on traces and on what they say together."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp

from relay.admin.traces import TraceQuery
from relay.errors import NotFound
from relay.web.admin.desk import Desk
from relay.web.admin.export import start_export
from relay.web.admin.operations import Call, answer
from relay.web.admin.problems import Conflict
from relay.web.admin.schema import (
    STEP_S_MAX,
    STEP_S_MIN,
    Nothing,
    StatisticsQuery,
    TraceDeleteQuery,
    TraceExportQuery,
    TraceListQuery,
    TracePath,
    filter_value,
    seconds,
)
from relay.web.admin.schema_answers import Deleted, Statistics, TracePage, tell, tell_trace

DAY_S: Final = 86_400.0

INTERVALS: Final = 96
"""How many steps a span has where none is asked for: a day in quarters of an hour."""


async def list_traces(desk: Desk, call: Call[Nothing, TraceListQuery, Nothing]) -> Response:
    """Answer one page."""
    query = call.query
    wanted = TraceQuery(
        where=filter_value(query),
        order=query.order,
        descending=query.direction == "desc",
        limit=query.limit,
        cursor=query.cursor,
    )
    return answer(tell(await desk.store.archive.trace_page(wanted), TracePage))


async def show_trace(desk: Desk, call: Call[TracePath, Nothing, Nothing]) -> Response:
    """Answer one trace, by its id, its stream's, or the unique beginning of one."""
    row = await desk.store.archive.find_trace(call.path.trace_id)
    if row is None:
        raise NotFound("there is no such trace (any more), or several begin like this")
    # A trace of many thousand chunks takes a while to encode, and streams are running.
    return await asyncio.to_thread(lambda: answer(tell_trace(row)))


async def delete_trace(desk: Desk, call: Call[TracePath, Nothing, Nothing]) -> Response:
    """Delete one."""
    await desk.store.archive.delete_trace(call.path.trace_id)
    return answer(None)


async def delete_traces(desk: Desk, call: Call[Nothing, TraceDeleteQuery, Nothing]) -> Response:
    """Delete all that are wanted."""
    where = filter_value(call.query)
    if where.is_empty and not call.query.all:
        raise Conflict("give a filter, or say all=true to delete every trace")
    return answer(Deleted(await desk.store.archive.delete_traces(where)))


async def export_traces(desk: Desk, call: Call[Nothing, TraceExportQuery, Nothing]) -> ASGIApp:
    """Answer all that are wanted, as a file."""
    batches = desk.store.archive.export_traces(filter_value(call.query))
    return await start_export(desk.exports, call.query.format, batches)


async def show_statistics(desk: Desk, call: Call[Nothing, StatisticsQuery, Nothing]) -> Response:
    """Answer what a span of time was like."""
    asked_until, asked_since = seconds(call.query.until), seconds(call.query.since)
    until = desk.clock.now() if asked_until is None else asked_until
    since = max(0.0, until - DAY_S) if asked_since is None else asked_since
    if not since < until:
        raise Conflict("since has to be before until")
    step_s = float(call.query.step or default_step(until - since))
    return answer(tell(await desk.store.archive.statistics(since, until, step_s), Statistics))


def default_step(span_s: float) -> int:
    """Return a step, in seconds, that cuts a span into about `INTERVALS`."""
    return int(min(max(span_s / INTERVALS, STEP_S_MIN), STEP_S_MAX))
