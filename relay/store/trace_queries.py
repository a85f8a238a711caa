"""Traces as operators look for them: by id, and by page."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy
from sqlalchemy import SQLColumnExpression, func, or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.admin.trace_row import TraceRow
from relay.admin.traces import PAGE_ROWS_MAX, TraceOrder, TracePage, TraceQuery
from relay.errors import BadRequest
from relay.store.models import StreamTrace
from relay.store.trace_cursor import (
    CREATED,
    NUMBER,
    Place,
    behind,
    column_of,
    read_cursor,
    sorting,
    write_cursor,
)
from relay.store.trace_filter import conditions
from relay.store.trace_rows import LABEL_CHARS_MAX, LISTED, clean, from_columns, to_summary

SAME_MAX: Final = 5
"""How many traces are named where the beginning of an id fits several."""


async def get(session: AsyncSession, trace_id: str) -> TraceRow | None:
    """Return the trace with this id."""
    found = await session.exec(select(StreamTrace).where(col(StreamTrace.trace_id) == trace_id))
    record = found.one_or_none()
    return None if record is None else from_columns(record)


async def find(session: AsyncSession, given: str) -> TraceRow | None:
    """Return the trace with this trace id, stream id, or unique beginning of either.

    Raises `BadRequest` where several begin so.
    """
    if not given or len(given) > LABEL_CHARS_MAX or clean(given) != given:
        return None
    names = (col(StreamTrace.trace_id), col(StreamTrace.stream_id))
    exact = or_(*(name == given for name in names))
    begins = or_(*(name.startswith(given, autoescape=True) for name in names))
    order = sorting(TraceOrder.CREATED, descending=True)
    for condition in (exact, begins):
        # Two texts of 4 MiB each would be read to name five ids.
        query = select(StreamTrace.trace_id).where(condition).order_by(*order).limit(SAME_MAX)
        match (await session.exec(query)).all():
            case []:
                continue
            case [trace_id]:
                return await get(session, trace_id)
            case several:
                raise BadRequest(
                    f"several traces are {given}: {', '.join(several)}", field="trace_id"
                )
    return None


async def page(session: AsyncSession, query: TraceQuery) -> TracePage:
    """Return one page. Raises `BadRequest` for a cursor of another list, and for the limit."""
    if not 1 <= query.limit <= PAGE_ROWS_MAX:
        raise BadRequest(f"ask for 1 to {PAGE_ROWS_MAX} traces", field="limit")
    wanted = conditions(query.where)
    if (place := read_cursor(query)) is not None:
        wanted.append(behind(query.order, place, descending=query.descending))
    column = column_of(query.order)
    extra: tuple[SQLColumnExpression[Any], ...] = (
        NUMBER,
        CREATED,
        NUMBER if column is None else column,
    )
    statement = (
        sqlalchemy.select(*extra, *LISTED)
        .where(*wanted)
        .order_by(*sorting(query.order, descending=query.descending))
        .limit(query.limit + 1)
    )
    rows = (await (await session.connection()).execute(statement)).all()
    shown = rows[: query.limit]
    traces = [to_summary(row[len(extra) :]) for row in shown]
    if len(rows) == len(shown):
        return TracePage(traces, None)
    number, created_at, value = shown[-1][: len(extra)]
    last = Place(created_at, number, None if column is None else value)
    return TracePage(traces, write_cursor(query, last))


async def count(session: AsyncSession) -> int:
    """Return how many traces there are."""
    return (await session.exec(select(func.count()).select_from(StreamTrace))).one()
