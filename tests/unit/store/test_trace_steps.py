from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlmodel import col

from relay.store import trace_steps, traces
from relay.store.engine import Database
from relay.store.models import StreamTrace
from relay.store.trace_steps import delete, export, steps
from tests.support.store import NOW, trace_row
from tests.support.turns import counted_turns


@pytest.mark.parametrize("newest_first", [True, False])
async def test_steps_are_bounded_and_together_they_are_all(
    database: Database, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    """In the order of age."""
    monkeypatch.setattr(trace_steps, "STEP_ROWS_MAX", 4)
    rows = [trace_row(n) for n in range(12)]
    await traces.upsert_batch(database, rows, now=NOW)
    found = [numbers async for numbers in steps(database, [], newest_first=newest_first)]
    assert [len(numbers) for numbers in found] == [4, 4, 4]
    numbers = [number for some in found for number in some]
    assert numbers == sorted(range(1, 13), reverse=newest_first)


async def test_no_rows_are_no_steps(database: Database) -> None:
    """And nothing to wait for."""
    assert [numbers async for numbers in steps(database, [], newest_first=True)] == []


async def test_an_export_holds_few_texts_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded in bytes: 500 long answers would be gigabytes."""
    monkeypatch.setattr(trace_steps, "FETCH_BYTES_MAX", 10_000)
    sizes = [20, 4000, 12_000, 20, 20, 20, 2000]
    rows = [trace_row(n, sdk_content="x" * size) for n, size in enumerate(sizes)]
    await traces.upsert_batch(database, rows, now=NOW)
    found = [some async for some in export(database, [])]
    assert [len(some) for some in found] == [4, 1, 2]
    assert [row for some in found for row in some] == rows[::-1]


async def test_an_export_fetches_so_many_rows_at_once_and_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small they are; a step of keys is fetched in several portions."""
    monkeypatch.setattr(trace_steps, "FETCH_ROWS_MAX", 2)
    rows = [trace_row(n) for n in range(5)]
    await traces.upsert_batch(database, rows, now=NOW)
    found = [some async for some in export(database, [])]
    assert [len(some) for some in found] == [2, 2, 1]
    assert [row for some in found for row in some] == rows[::-1]


async def test_an_export_lets_go_of_the_event_loop(database: Database) -> None:
    """Between two rows: chunks are carried on it."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(300)], now=NOW)
    async with counted_turns() as turns:
        async for _ in export(database, []):
            pass
    assert turns.count >= 300


async def test_rows_that_go_during_an_export_are_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails, and what comes meanwhile is not in it."""
    monkeypatch.setattr(trace_steps, "STEP_ROWS_MAX", 2)
    await traces.upsert_batch(database, [trace_row(n) for n in range(6)], now=NOW)
    found: list[str] = []
    async for some in export(database, []):
        found += [row.trace_id for row in some]
        if len(found) == 2:
            await traces.upsert_batch(database, [trace_row(9)], now=NOW)
            await delete(database, [col(StreamTrace.trace_id) == "trace-3"])
    assert found == ["trace-5", "trace-4", "trace-2", "trace-1", "trace-0"]


async def test_whoever_writes_gets_the_lock_between_two_deletions(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that would not wait at all succeeds at every pause."""
    monkeypatch.setattr(trace_steps, "STEP_ROWS_MAX", 4)
    await traces.upsert_batch(database, [trace_row(n) for n in range(12)], now=NOW)
    written = 0

    async def write() -> None:
        nonlocal written
        other = sqlite3.connect(tmp_path / "relay.db", timeout=0)
        with other:
            other.execute("UPDATE access_keys SET name = name")
        other.close()
        written += 1

    assert await delete(database, [], pause=write) == 12
    assert written == 3


async def test_a_trace_that_is_no_longer_wanted_when_its_turn_comes_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late chunk mended it between the look and the deletion."""
    await traces.upsert_batch(database, [trace_row(n) for n in range(3)], now=NOW)
    looked = trace_steps.steps

    async def amended(*args: object, **kwargs: object) -> object:
        async for numbers in looked(*args, **kwargs):  # type: ignore[arg-type]
            await traces.upsert_batch(database, [trace_row(1, status="completed")], now=NOW)
            yield numbers

    monkeypatch.setattr(trace_steps, "steps", amended)
    assert await delete(database, [col(StreamTrace.status) == "anomaly"]) == 2
