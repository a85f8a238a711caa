"""Following traces on a server that several relays write at once."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from relay.admin.traces import TraceFilter
from relay.store.engine import Database
from relay.store.migrate import upgrade
from relay.store.store import Store
from tests.support.postgres import postgres_server, postgres_url
from tests.support.store import trace_row

__all__ = ["postgres_server", "postgres_url"]

pytestmark = pytest.mark.needs("postgres", "initdb")


async def test_what_is_committed_later_with_a_lower_number_is_told(postgres_url: str) -> None:
    """One relay takes a number and is slow; another one's row is seen before."""
    await upgrade(postgres_url)
    store = await Store.open(postgres_url)
    database = Database(postgres_url)
    try:
        await store.write_traces([trace_row(1)])
        tail = store.archive.tail(TraceFilter())
        assert [trace.trace_id for trace in await tail.newest(5)] == ["trace-1"]
        async with database.engine.begin() as slow:
            # As the upsert of another relay would, whose transaction takes its time.
            await slow.execute(text("CREATE TEMP TABLE one AS SELECT * FROM stream_traces"))
            await slow.execute(
                text(
                    "UPDATE one SET trace_id = 'slow', stream_id = 'slow',"
                    " id = nextval(pg_get_serial_sequence('stream_traces', 'id'))"
                )
            )
            await slow.execute(text("INSERT INTO stream_traces SELECT * FROM one"))
            await store.write_traces([trace_row(2)])
            assert [trace.trace_id for trace in await tail.more()] == ["trace-2"]
        assert [trace.trace_id for trace in await tail.more()] == ["slow"]
        assert await tail.more() == []
    finally:
        await database.close()
        await store.close()


async def test_a_server_that_is_away_is_asked_again(postgres_url: str) -> None:
    """Its connections are cut; the next look is as if nothing had been."""
    await upgrade(postgres_url)
    store = await Store.open(postgres_url)
    other = Database(postgres_url)
    try:
        tail = store.archive.tail(TraceFilter(status="anomaly"))
        await tail.newest(0)
        await store.write_traces([trace_row(1), trace_row(2, status="completed")])
        async with other.engine.begin() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            )
        await asyncio.sleep(0)
        assert [trace.trace_id for trace in await tail.more()] == ["trace-1"]
    finally:
        await other.close()
        await store.close()
