"""Stored traces on a real PostgreSQL: the same checks as on SQLite, and several relays at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from relay.store import trace_queries, traces
from relay.store.engine import Database
from relay.store.migrate import upgrade
from relay.store.retention import Retention, Swept, sweep
from tests.support.postgres import postgres_server, postgres_url
from tests.support.store import NOW, trace_row
from tests.support.trace_archive import check_export_and_deletion, check_pages, check_statistics

__all__ = ["postgres_server", "postgres_url"]

pytestmark = pytest.mark.needs("postgres", "initdb")

FOR_EVER = Retention(0, 0, 0)


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """An open database with the newest schema."""
    await upgrade(postgres_url)
    database = Database(postgres_url)
    yield database
    await database.close()


async def no_pause() -> None:
    """Nobody else wants to write."""


async def count(database: Database) -> int:
    """How many traces there are."""
    async with database.read() as session:
        return await trace_queries.count(session)


async def test_all_pages_together_are_the_list(database: Database) -> None:
    """Each wanted trace once, in order: for every order, both directions, equal values and none."""
    await check_pages(database)


async def test_statistics_are_what_plain_python_says(database: Database) -> None:
    """Over several spans and steps, with bounds that fall on traces."""
    await check_statistics(database)


async def test_what_is_wanted_is_exported_and_deleted_and_nothing_else(database: Database) -> None:
    """Whole rows, newest first."""
    await check_export_and_deletion(database)


async def test_texts_go_first_then_traces(database: Database) -> None:
    """By age; then the oldest of what is too large."""
    rows = [trace_row(n, sdk_content="x" * 1000) for n in range(10)]
    await traces.upsert_batch(database, rows, now=NOW)
    retention = Retention(trace_ttl_s=100, content_ttl_s=10, bytes_max=0)
    swept = await sweep(database, retention, now=NOW + 15, pause=no_pause)
    assert swept == Swept(blanked=5)
    async with database.read() as session:
        blank, whole = [await trace_queries.get(session, f"trace-{n}") for n in (4, 5)]
    assert blank == replace(rows[4], sdk_content="", sse_content="")
    assert whole == rows[5]
    swept = await sweep(database, retention, now=NOW + 103, pause=no_pause)
    assert swept == Swept(expired=3, blanked=5)
    swept = await sweep(database, replace(FOR_EVER, bytes_max=3000), now=NOW, pause=no_pause)
    assert swept == Swept(crowded_out=5)


async def test_sweeps_at_once_delete_no_more_than_one(
    database: Database, postgres_url: str
) -> None:
    """Four relays on one server: together they do what one would, and none waits or fails."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(3000)], now=NOW)
    async with database.read() as session:
        query = text("SELECT sum(size_bytes) FROM stream_traces")
        total = int((await (await session.connection()).execute(query)).scalar_one())
    retention = replace(FOR_EVER, bytes_max=total // 2 + 1)
    others = [Database(postgres_url) for _ in range(4)]
    swept = await asyncio.gather(
        *(sweep(other, retention, now=NOW, pause=no_pause) for other in others)
    )
    # What one of them is just at, the others leave; it may be that all leave some for next time.
    left = await sweep(database, retention, now=NOW, pause=no_pause)
    for other in others:
        await other.close()
    assert sum(each.crowded_out for each in [*swept, left]) == 1500
    assert await count(database) == 1500


async def test_a_row_that_somebody_is_writing_is_left_for_the_next_sweep(
    database: Database, postgres_url: str
) -> None:
    """A sweep waits for nobody."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(3)], now=NOW)
    other = Database(postgres_url)
    retention = replace(FOR_EVER, trace_ttl_s=1)
    async with other.write() as session:
        held = text("SELECT 1 FROM stream_traces WHERE trace_id = 'trace-1' FOR UPDATE")
        await (await session.connection()).execute(held)
        assert await sweep(database, retention, now=NOW + 99, pause=no_pause) == Swept(expired=2)
    assert await sweep(database, retention, now=NOW + 99, pause=no_pause) == Swept(expired=1)
    await other.close()
