from __future__ import annotations

import gc
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Column
from structlog.testing import capture_logs

from relay.admin.trace_row import TraceRow
from relay.errors import StoreError
from relay.protocol.status import Outcome
from relay.store import trace_queries, traces
from relay.store.engine import Database
from relay.store.models import StreamTrace
from tests.support.store import NOW, ROW, trace_row
from tests.support.turns import counted_turns


async def write(database: Database, *rows: TraceRow, now: float = NOW) -> int:
    """Write rows and return how many were lost."""
    return await traces.upsert_batch(database, rows, now=now)


async def read(database: Database, trace_id: str) -> TraceRow | None:
    """Read one row."""
    async with database.read() as session:
        return await trace_queries.get(session, trace_id)


async def stored(database: Database) -> int:
    """How many rows there are."""
    async with database.read() as session:
        return await trace_queries.count(session)


async def test_a_trace_comes_back_as_it_was_written(database: Database) -> None:
    """Every column, JSON and times included."""
    assert await write(database, ROW) == 0
    assert await read(database, ROW.trace_id) == ROW


async def test_a_trace_of_a_stream_without_a_bot_is_written(database: Database) -> None:
    """Unbound and offline requests have their row as well; an enum is kept as its word."""
    row = TraceRow("t", "s", "m", "a", "u", None, 1, "anomaly", Outcome.UNBOUND, NOW)
    assert await write(database, row) == 0
    assert await read(database, "t") == row


async def test_writing_a_trace_again_updates_its_row(database: Database) -> None:
    """A late summary amends the trace: every column but when it was asked, and no other row."""
    first = TraceRow("trace-0", "s", "m", "a", "u", None, 1, "active", "lost", ROW.created_at)
    await write(database, first, trace_row(1))
    assert await write(database, ROW, trace_row(2), now=NOW + 5) == 0
    assert await read(database, ROW.trace_id) == ROW
    assert await stored(database) == 3
    async with database.read() as session:
        row = await session.get(StreamTrace, 1)
    assert row is not None
    assert row.updated_at.timestamp() == NOW + 5


async def test_writing_leaves_no_statement_behind(database: Database) -> None:
    """Each would copy the table: 400 objects that know each other, for the garbage collector."""
    await write(database, ROW)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await write(database, ROW)
        gc.collect()
        left = [one for one in gc.garbage if isinstance(one, Column)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []


async def test_of_two_rows_of_one_trace_in_a_batch_the_later_counts(database: Database) -> None:
    """The end and its amendment may be written together; neither is lost."""
    assert await write(database, ROW, trace_row(0, outcome="completed")) == 0
    row = await read(database, ROW.trace_id)
    assert row is not None
    assert row.outcome == "completed"


async def test_no_rows_are_no_work(database: Database) -> None:
    """And no error."""
    assert await write(database) == 0


@pytest.mark.parametrize("bad", [[0], [1203], [17, 18, 700]])
async def test_a_poisoned_row_costs_itself_and_no_other(database: Database, bad: list[int]) -> None:
    """Rows that the database refuses are halved out of batches, counted, and named in the log."""
    rows = [trace_row(n, sdk_chunk_count=2**70 if n in bad else 1) for n in range(1204)]
    with capture_logs() as logs:
        assert await write(database, *rows) == len(bad)
    assert await stored(database) == len(rows) - len(bad)
    assert [log["trace_id"] for log in logs] == [f"trace-{n}" for n in bad]
    assert await read(database, f"trace-{bad[0]}") is None


async def test_a_row_that_is_no_json_costs_itself_and_no_other(database: Database) -> None:
    """It is found before the database sees it."""
    with capture_logs() as logs:
        assert await write(database, trace_row(1, events=[object()]), trace_row(2)) == 1
    assert await stored(database) == 1
    assert logs[0]["trace_id"] == "trace-1"


async def test_what_a_user_said_is_not_in_the_log_of_a_lost_row(database: Database) -> None:
    """Only which trace, and what kind of error."""
    row = trace_row(1, sdk_content="canary", access_key_id=None)
    with capture_logs() as logs:
        assert await write(database, row) == 1
    assert logs[0]["error"] == "IntegrityError"
    assert "canary" not in str(logs)


async def test_what_no_database_takes_is_mended(database: Database) -> None:
    """NUL is left out, half a surrogate pair replaced, and two halves become their character."""
    row = trace_row(
        1,
        sdk_content="a\x00b\ud83e",
        sse_content="\ud83e\udd9e",
        user_id="\x00",
        events=["\x00x", {"\ud83e": ["\\u0000", "\ud83e"]}],
        anomaly={"text": "\x00"},
    )
    assert await write(database, row) == 0
    found = await read(database, "trace-1")
    assert found is not None
    assert (found.sdk_content, found.sse_content, found.user_id) == ("ab\ufffd", "🦞", "")
    assert found.events == ["x", {"\ufffd": ["\\u0000", "\ufffd"]}]
    assert found.anomaly == {"text": ""}


async def test_a_long_id_is_cut_and_a_long_answer_is_not(database: Database) -> None:
    """PostgreSQL refuses to index a long text; a device may send one as its message id."""
    assert await write(database, trace_row(1, message_id="m" * 9000, sse_content="c" * 9000)) == 0
    found = await read(database, "trace-1")
    assert found is not None
    assert (len(found.message_id), len(found.sse_content)) == (512, 9000)


async def test_a_number_of_63_bits_fits(database: Database) -> None:
    """A bot may state any count."""
    assert await write(database, trace_row(1, sdk_total_chunks=2**63 - 1)) == 0
    found = await read(database, "trace-1")
    assert found is not None
    assert found.sdk_total_chunks == 2**63 - 1


async def test_a_locked_database_is_an_outage_and_loses_nothing(
    database: Database, tmp_path: Path
) -> None:
    """The rows are not tried one by one, 5 s each; written again later, all are stored."""
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout=1")
    rows = [trace_row(n) for n in range(8)]
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with capture_logs() as logs, pytest.raises(StoreError, match="locked"):
        await write(database, *rows)
    other.execute("ROLLBACK")
    other.close()
    assert logs == []
    assert await write(database, *rows) == 0
    assert await stored(database) == 8


async def test_preparing_rows_gives_way_to_what_else_runs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two rows the event loop is free: chunks are carried on it."""
    turns_at_write = 0
    async with counted_turns() as turns:

        async def no_write(_database: Database, _values: object) -> int:
            nonlocal turns_at_write
            turns_at_write = turns.count
            return 0

        monkeypatch.setattr(traces, "_write", no_write)
        await write(database, *(trace_row(n) for n in range(200)))
    assert turns_at_write >= 200
