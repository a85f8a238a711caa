from __future__ import annotations

import pytest

from relay.admin.traces import TraceFilter, TraceQuery
from relay.errors import BadRequest, NotFound
from relay.store import traces
from relay.store.admin_traces import TraceArchive
from relay.store.engine import Database
from tests.support.store import NOW, ROW, trace_row
from tests.support.trace_archive import check_export_and_deletion


async def test_what_is_wanted_is_exported_and_deleted_and_nothing_else(database: Database) -> None:
    """Whole rows, newest first."""
    await check_export_and_deletion(database)


async def test_one_trace_is_found_and_deleted(database: Database) -> None:
    """Once; then there is nothing with its id."""
    archive = TraceArchive(database)
    await traces.upsert_batch(database, [ROW, trace_row(1)], now=NOW)
    assert await archive.find_trace(ROW.stream_id) == ROW
    await archive.delete_trace(ROW.trace_id)
    assert await archive.find_trace(ROW.trace_id) is None
    with pytest.raises(NotFound, match="there is no trace trace-0"):
        await archive.delete_trace(ROW.trace_id)
    page = await archive.trace_page(TraceQuery())
    assert [trace.trace_id for trace in page.traces] == ["trace-1"]


async def test_a_bad_filter_is_the_callers_mistake_in_every_question(database: Database) -> None:
    """Whichever way it is asked."""
    archive = TraceArchive(database)
    where = TraceFilter(since=float("nan"))
    with pytest.raises(BadRequest):
        await archive.trace_page(TraceQuery(where))
    with pytest.raises(BadRequest):
        await archive.delete_traces(where)
    with pytest.raises(BadRequest):
        await anext(aiter(archive.export_traces(where)))
    with pytest.raises(BadRequest):
        await archive.statistics(0, float("inf"), 1)
