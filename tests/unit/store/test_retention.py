from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from relay.admin.trace_row import TraceRow
from relay.errors import StoreError
from relay.store import retention, trace_queries, trace_steps, traces
from relay.store.engine import Database
from relay.store.retention import Janitor, Retention, Swept, sweep
from relay.store.trace_rows import ROW_BYTES
from tests.support.store import NOW, trace_row

FOR_EVER = Retention(0, 0, 0)
CANARY = "canary-b1f0c2"


async def no_pause() -> None:
    """Nobody else wants to write."""


async def kept(database: Database) -> list[str]:
    """The ids of the traces that are there, oldest first."""
    async with database.read() as session:
        query = text("SELECT trace_id FROM stream_traces ORDER BY created_at, id")
        return list((await (await session.connection()).execute(query)).scalars())


async def one(database: Database, trace_id: str) -> TraceRow:
    """A trace that must be there."""
    async with database.read() as session:
        row = await trace_queries.get(session, trace_id)
    assert row is not None
    return row


async def size(database: Database) -> int:
    """What all traces take."""
    async with database.read() as session:
        query = text("SELECT coalesce(sum(size_bytes), 0) FROM stream_traces")
        return int((await (await session.connection()).execute(query)).scalar_one())


async def test_traces_go_when_they_are_too_old(database: Database) -> None:
    """Those that were asked longer ago than traces are kept, and no other."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(5)], now=NOW)
    swept = await sweep(database, replace(FOR_EVER, trace_ttl_s=10), now=NOW + 12, pause=no_pause)
    assert swept == Swept(expired=2)
    assert await kept(database) == ["trace-2", "trace-3", "trace-4"]


async def test_nothing_goes_where_everything_is_kept_for_ever(database: Database) -> None:
    """0 is no limit: of no kind."""
    await traces.upsert_batch(database, [trace_row(1)], now=NOW)
    assert await sweep(database, FOR_EVER, now=NOW + 1e9, pause=no_pause) == Swept()
    assert await one(database, "trace-1") == trace_row(1)


async def test_texts_go_before_their_trace(database: Database) -> None:
    """The rest of the row stays as it was, and the next sweep finds nothing to do."""
    await traces.upsert_batch(database, [trace_row(1), trace_row(50)], now=NOW)
    before = await size(database)
    retention = replace(FOR_EVER, content_ttl_s=10)
    assert await sweep(database, retention, now=NOW + 20, pause=no_pause) == Swept(blanked=1)
    row = trace_row(1)
    assert await one(database, "trace-1") == replace(row, sdk_content="", sse_content="")
    assert await one(database, "trace-50") == trace_row(50)
    texts = len((row.sdk_content + row.sse_content).encode())
    assert before - await size(database) == texts
    assert await sweep(database, retention, now=NOW + 20, pause=no_pause) == Swept()


async def test_texts_that_an_amendment_brings_back_go_again(database: Database) -> None:
    """A late chunk writes the whole row anew."""
    retention = replace(FOR_EVER, content_ttl_s=10)
    for _ in range(2):
        await traces.upsert_batch(database, [trace_row(1)], now=NOW)
        assert await sweep(database, retention, now=NOW + 20, pause=no_pause) == Swept(blanked=1)
    assert (await one(database, "trace-1")).sse_content == ""


async def test_the_oldest_go_where_all_are_too_large(database: Database) -> None:
    """As many as need be: the rest fits, and one more would not."""
    rows = [trace_row(n, sdk_content="x" * 1000) for n in range(10)]
    await traces.upsert_batch(database, rows, now=NOW)
    each = await size(database) // 10
    retention = replace(FOR_EVER, bytes_max=4 * each + each // 2)
    assert await sweep(database, retention, now=NOW, pause=no_pause) == Swept(crowded_out=6)
    assert await kept(database) == [f"trace-{n}" for n in range(6, 10)]
    assert await sweep(database, retention, now=NOW, pause=no_pause) == Swept()
    assert await sweep(
        database, replace(FOR_EVER, bytes_max=each - 1), now=NOW, pause=no_pause
    ) == Swept(crowded_out=4)


async def test_what_a_trace_takes_is_what_its_texts_take(database: Database) -> None:
    """In bytes, not characters, and something for the row itself."""
    row = TraceRow("t", "s", "m", "a", "u", None, 1, "completed", "completed", NOW)
    await traces.upsert_batch(database, [replace(row, sdk_content="🦞" * 10)], now=NOW)
    assert await size(database) == ROW_BYTES + 40 + 3 * len("[]")


async def test_a_sweep_is_bounded_and_says_that_there_is_more(database: Database) -> None:
    """In rows of each step and in all; the next sweep goes on where it ended."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(1300)], now=NOW)
    counts: list[int] = []

    async def look() -> None:
        counts.append(len(await kept(database)))

    retention = replace(FOR_EVER, trace_ttl_s=1)
    swept = await sweep(database, retention, now=NOW + 5000, pause=look, rows_max=1000)
    assert swept == Swept(expired=1000, more=True)
    assert counts == [800, 300]
    swept = await sweep(database, retention, now=NOW + 5000, pause=look, rows_max=1000)
    assert swept == Swept(expired=300)


async def test_a_step_is_bounded_in_bytes_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overwriting takes as long as what is overwritten is large; a huge row goes by itself."""
    monkeypatch.setattr(trace_steps, "STEP_BYTES_MAX", 8000)
    rows = [trace_row(n, sdk_content="x" * (20_000 if n == 1 else 2000)) for n in range(4)]
    await traces.upsert_batch(database, rows, now=NOW)
    left: list[list[str]] = []

    async def look() -> None:
        left.append(await kept(database))

    await sweep(database, replace(FOR_EVER, trace_ttl_s=1), now=NOW + 99, pause=look)
    assert [len(ids) for ids in left] == [3, 2, 0]


async def test_whoever_writes_gets_the_lock_between_two_steps(
    database: Database, tmp_path: Path
) -> None:
    """A write that would not wait at all succeeds at every pause."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(1200)], now=NOW)
    written = 0

    async def write() -> None:
        nonlocal written
        other = sqlite3.connect(tmp_path / "relay.db", timeout=0)
        other.execute("UPDATE access_keys SET name = name")
        other.close()
        written += 1

    await sweep(database, replace(FOR_EVER, trace_ttl_s=1), now=NOW + 5000, pause=write)
    assert written == 3


@pytest.mark.parametrize(
    "indexed", [("created_at", "trace_ttl_s"), ("with_content", "content_ttl_s")]
)
async def test_a_sweep_looks_at_nothing_that_stays(
    database: Database, indexed: tuple[str, str]
) -> None:
    """An index leads to what is to go; texts that stay are not read every minute."""
    statements: list[str] = []
    index, kind = indexed
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        await driver.set_trace_callback(statements.append)
    await sweep(database, replace(FOR_EVER, **{kind: 1}), now=NOW, pause=no_pause)
    [query] = [each for each in statements if each.startswith("SELECT stream_traces.id")]
    async with database.read() as session:
        explained = text(f"EXPLAIN QUERY PLAN {query}".replace(":", r"\:"))
        plan = (await (await session.connection()).execute(explained)).all()
    assert any(f"ix_stream_traces_{index}" in str(step) for step in plan)
    assert not any("TEMP B-TREE" in str(step) for step in plan)


def on_disk(folder: Path) -> bool:
    """Whether the canary is in any file of the database."""
    return any(CANARY.encode() in path.read_bytes() for path in folder.glob("relay.db*"))


@pytest.mark.parametrize("kind", ["trace_ttl_s", "content_ttl_s"])
@pytest.mark.parametrize("length", [1, 40, 3000])
async def test_a_text_is_gone_from_the_file_when_its_time_is_over(
    database: Database, tmp_path: Path, kind: str, length: int
) -> None:
    """Not only from the table: deleted pages are overwritten, and the log is cut.

    Of any length, beside rows that stay, and where rows are written again.
    """
    rows = [
        trace_row(n, sdk_content=CANARY * length, sse_content=f"{n} {CANARY}") for n in range(150)
    ]
    await traces.upsert_batch(database, rows, now=NOW)
    await traces.upsert_batch(database, rows[::3], now=NOW)
    staying = [trace_row(1000 + n, sdk_content="x" * n * 10) for n in range(150)]
    await traces.upsert_batch(database, staying, now=NOW)
    assert on_disk(tmp_path)
    swept = await sweep(database, replace(FOR_EVER, **{kind: 10}), now=NOW + 500, pause=no_pause)
    assert swept.expired + swept.blanked == 150
    assert not on_disk(tmp_path)
    assert len(await kept(database)) == (150 if swept.expired else 300)


async def test_the_file_shrinks_by_what_nobody_needed_since_the_last_sweep(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a sweep frees is there for what comes next; a sweep gives back so much at most."""
    monkeypatch.setattr(retention, "PAGES_MAX", 100)
    sizes: list[int] = []
    await traces.upsert_batch(
        database, [trace_row(n, sdk_content="x" * 40_000) for n in range(40)], now=NOW
    )
    await database.empty_wal()
    for _ in range(6):
        sizes.append((tmp_path / "relay.db").stat().st_size // 4096)
        await sweep(database, replace(FOR_EVER, trace_ttl_s=10), now=NOW + 500, pause=no_pause)
    steps = [before - after for before, after in pairwise(sizes)]
    assert sizes[0] > 400
    assert steps[0] == 0
    assert steps[1:4] == [pytest.approx(100, abs=2)] * 3
    assert sizes[-1] < 100
    assert await database.free_pages() == 0


async def test_two_sweeps_at_once_delete_no_more_than_one(database: Database) -> None:
    """What is too large is decided by age."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(1500)], now=NOW)
    retention = replace(FOR_EVER, bytes_max=await size(database) // 2 + 1)
    both = await asyncio.gather(
        *(sweep(database, retention, now=NOW, pause=lambda: asyncio.sleep(0)) for _ in range(2))
    )
    assert sum(swept.crowded_out for swept in both) == 750
    assert len(await kept(database)) == 750


# --- the janitor ------------------------------------------------------------------------


async def test_the_janitor_sweeps_again_and_again_and_tells() -> None:
    """Also after a store that was away, and after a fault of the sweep's own."""
    results: list[Swept | Exception] = [
        Swept(expired=2),
        StoreError("away"),
        RuntimeError("a fault"),
        Swept(blanked=1),
    ]
    told: list[Swept] = []
    done = asyncio.Event()

    async def one_sweep() -> Swept:
        result = results.pop(0) if results else Swept()
        if isinstance(result, Exception):
            raise result
        return result

    def report(swept: Swept) -> None:
        told.append(swept)
        if swept.blanked:
            done.set()

    janitor = Janitor(one_sweep, every_s=0, report=report)
    with capture_logs() as logs:
        janitor.start()
        async with asyncio.timeout(5):
            await done.wait()
        await janitor.stop()
    assert told[:2] == [Swept(expired=2), Swept(blanked=1)]
    events = [(log["event"], log["log_level"]) for log in logs]
    assert events[:4] == [
        ("traces_swept", "info"),
        ("traces_not_swept", "warning"),
        ("traces_not_swept", "error"),
        ("traces_swept", "info"),
    ]


async def test_a_janitor_that_was_not_started_stops() -> None:
    """And stopping twice is stopping once."""

    async def never() -> Swept:
        raise AssertionError

    janitor = Janitor(never, every_s=1, report=print)
    await janitor.stop()
    await janitor.stop()


async def test_a_janitor_stops_in_the_midst_of_a_sweep(database: Database) -> None:
    """At once; the database is as good as before."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(1200)], now=NOW)
    paused = asyncio.Event()

    async def pause() -> None:
        paused.set()
        await asyncio.Event().wait()

    async def one_sweep() -> Swept:
        retention = replace(FOR_EVER, trace_ttl_s=1)
        return await sweep(database, retention, now=NOW + 5000, pause=pause)

    janitor = Janitor(one_sweep, every_s=60, report=print)
    janitor.start()
    await paused.wait()
    await janitor.stop()
    assert len(await kept(database)) == 700
    assert await traces.upsert_batch(database, [trace_row(1)], now=NOW) == 0
