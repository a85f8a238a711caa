"""What the store's tests share: a trace, and how a schema differs from the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from relay.admin.trace_row import TraceRow
from relay.store.engine import Database
from relay.store.models import Record

NOW = 1_772_157_600.25

ROW = TraceRow(
    trace_id="trace-0",
    stream_id="stream-0",
    message_id="1772157600000",
    agent_id="a" * 32,
    user_id="U" * 32,
    bot_id=1,
    access_key_id=2,
    status="anomaly",
    outcome="repaired",
    created_at=NOW,
    sdk_version="python/1.0",
    protocol=2,
    events=[{"type": "stream_end", "data": {"total": 3}, "timestamp": NOW}],
    sdk_content="你好🦞",
    sse_content="你好🦞\n\n",
    sdk_chunk_count=2,
    sse_chunk_count=2,
    sdk_total_chunks=3,
    missing_sequences=[2],
    loss_position="tail",
    loss_hop="bot-to-relay",
    repaired_by="summary",
    first_chunk_delay=12,
    avg_chunk_interval=3,
    last_chunk_delay=None,
    ack_delay_p50=0.125,
    ack_delay_p99=0.5,
    delivery_delay_p50=0.25,
    delivery_delay_p99=None,
    timeline=[[0, 12.5, 12.625, 13.0, 2], [1, 15.5, 15.625, None, 1]],
    anomaly={"type": "missing", "count": 1},
)
"""A trace with a value in every column that can have one."""


def trace_row(number: int, **changes: Any) -> TraceRow:
    """A trace of its own; a greater number is newer by that many seconds."""
    row = replace(ROW, trace_id=f"trace-{number}", stream_id=f"stream-{number}")
    return replace(row, created_at=NOW + number, **changes)


async def schema_differences(database: Database) -> Sequence[object]:
    """What a migration would still have to do for the schema to equal the models."""

    def compare(connection: Connection) -> Sequence[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences: Sequence[object] = compare_metadata(context, Record.metadata)
        return differences

    async with database.engine.connect() as connection:
        return await connection.run_sync(compare)
