"""The traces that are stored, as `relay.admin.ports.TraceArchive`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import sqlalchemy
from sqlmodel import col

from relay.admin.statistics import Statistics
from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceFilter, TracePage, TraceQuery
from relay.errors import NotFound
from relay.store import trace_queries, trace_statistics, trace_steps
from relay.store.engine import Database
from relay.store.models import StreamTrace
from relay.store.trace_filter import conditions
from relay.store.trace_tail import TraceTail


class TraceArchive:
    """The traces that are stored. Every method raises `StoreError` where the database fails."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def trace_page(self, query: TraceQuery) -> TracePage:
        """See `ports.TraceArchive.trace_page`."""
        async with self._database.read() as session:
            return await trace_queries.page(session, query)

    def tail(self, where: TraceFilter) -> TraceTail:
        """Return what follows the wanted traces as they are written."""
        return TraceTail(self._database, where)

    async def find_trace(self, given: str) -> TraceRow | None:
        """See `ports.TraceArchive.find_trace`. Raises `BadRequest` where several begin so."""
        async with self._database.read() as session:
            return await trace_queries.find(session, given)

    async def export_traces(self, where: TraceFilter) -> AsyncIterator[Sequence[TraceRow]]:
        """See `ports.TraceArchive.export_traces`. Traces written meanwhile are left out."""
        async for rows in trace_steps.export(self._database, conditions(where)):
            yield rows

    async def delete_traces(self, where: TraceFilter) -> int:
        """See `ports.TraceArchive.delete_traces`. Traces that are written meanwhile stay."""
        return await trace_steps.delete(self._database, conditions(where))

    async def delete_trace(self, trace_id: str) -> None:
        """See `ports.TraceArchive.delete_trace`."""
        query = sqlalchemy.delete(StreamTrace).where(col(StreamTrace.trace_id) == trace_id)
        async with self._database.write() as session:
            deleted = await trace_steps.changed(session, query)
        if not deleted:
            raise NotFound(f"there is no trace {trace_id}")

    async def statistics(self, since: float, until: float, step_s: float) -> Statistics:
        """See `ports.TraceArchive.statistics`; the limits are in `trace_statistics`."""
        return await trace_statistics.statistics(self._database, since, until, step_s)
