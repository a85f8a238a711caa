from __future__ import annotations

import pytest

from relay.errors import BadRequest
from relay.store import trace_queries, traces
from relay.store.engine import Database
from tests.support.store import NOW, trace_row


async def test_a_trace_is_found_by_either_id_and_by_a_unique_beginning(database: Database) -> None:
    """A whole id goes before a beginning, and a wildcard is a character like any other."""
    await traces.upsert_batch(database, [trace_row(n) for n in (1, 10, 2)], now=NOW)
    async with database.read() as session:
        for given, trace_id in (
            ("trace-1", "trace-1"),
            ("stream-1", "trace-1"),
            ("trace-10", "trace-10"),
            ("stream-2", "trace-2"),
            ("trace-2", "trace-2"),
        ):
            row = await trace_queries.find(session, given)
            assert row is not None
            assert row.trace_id == trace_id
        for unknown in ("", "race-2", "trace_2", "%2"):
            assert await trace_queries.find(session, unknown) is None
        with pytest.raises(BadRequest, match="trace-10, trace-2, trace-1"):
            await trace_queries.find(session, "trace-")
