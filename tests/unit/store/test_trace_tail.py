from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.admin.traces import TraceFilter
from relay.errors import StoreError
from relay.store import trace_tail
from relay.store.store import Store
from tests.support.store import NOW, trace_row

ALL = TraceFilter()


async def write(store: Store, *numbers: int, **changes: object) -> None:
    """Write traces, in one batch."""
    await store.write_traces([trace_row(number, **changes) for number in numbers])


async def test_it_begins_with_the_newest_and_goes_on_behind_them(store: Store) -> None:
    """Oldest first, each once, nothing where nothing is new."""
    await write(store, 1, 2, 3)
    tail = store.archive.tail(ALL)
    assert [trace.trace_id for trace in await tail.newest(2)] == ["trace-2", "trace-3"]
    assert await tail.more() == []
    await write(store, 4, 5)
    assert [trace.trace_id for trace in await tail.more()] == ["trace-4", "trace-5"]
    assert await tail.more() == []


async def test_a_long_stream_is_told_when_it_is_written(store: Store) -> None:
    """Its question is older than all that was told already."""
    await write(store, 5)
    tail = store.archive.tail(ALL)
    await tail.newest(10)
    await write(store, 1)
    (trace,) = await tail.more()
    assert (trace.trace_id, trace.created_at) == ("trace-1", NOW + 1)


async def test_an_empty_database_can_be_followed(store: Store) -> None:
    """Beginning with none is beginning."""
    tail = store.archive.tail(ALL)
    assert await tail.newest(0) == []
    await write(store, 1)
    assert [trace.trace_id for trace in await tail.more()] == ["trace-1"]


async def test_an_amended_trace_is_not_told_again(store: Store) -> None:
    """A late chunk corrects its row, which has its place already."""
    tail = store.archive.tail(ALL)
    await tail.newest(0)
    await write(store, 1)
    await tail.more()
    await write(store, 1, status="completed")
    assert await tail.more() == []


async def test_only_what_is_wanted_is_told(store: Store) -> None:
    """At the beginning and later; what is not wanted is passed over."""
    await write(store, 1, 2, status="completed")
    await write(store, 3, status="anomaly")
    tail = store.archive.tail(TraceFilter(status="completed"))
    assert [trace.trace_id for trace in await tail.newest(1)] == ["trace-2"]
    await write(store, 4, status="anomaly")
    await write(store, 5, status="completed")
    assert [trace.trace_id for trace in await tail.more()] == ["trace-5"]


async def test_a_number_that_was_taken_first_and_seen_last_is_told(
    store: Store, tmp_path: Path
) -> None:
    """As where two relays write: the one with the lower numbers commits later."""
    await write(store, 1, 2, 3)
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
        database.execute("UPDATE stream_traces SET id = 50 WHERE trace_id = 'trace-3'")
    tail = store.archive.tail(ALL)
    await tail.newest(10)
    await write(store, 4)
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
        database.execute("UPDATE stream_traces SET id = 20 WHERE trace_id = 'trace-4'")
    assert [trace.trace_id for trace in await tail.more()] == ["trace-4"]
    assert await tail.more() == []


async def test_many_at_once_are_all_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one look takes, and more than it looks back: in several looks, each once."""
    monkeypatch.setattr(trace_tail, "LOOK_BACK_ROWS", 10)
    monkeypatch.setattr(trace_tail, "NUMBERS_MAX", 20)
    monkeypatch.setattr(trace_tail, "PAGE_ROWS_MAX", 7)
    tail = store.archive.tail(ALL)
    await tail.newest(0)
    await write(store, *range(100, 150))
    told: list[str] = []
    while found := await tail.more():
        assert len(found) <= 20
        told += [trace.trace_id for trace in found]
    assert told == [f"trace-{number}" for number in range(100, 150)]


async def test_a_look_that_failed_loses_nothing(store: Store, tmp_path: Path) -> None:
    """The table is away for a moment; what was written comes once it is back."""
    tail = store.archive.tail(ALL)
    await tail.newest(0)
    await write(store, 1)
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
        database.execute("ALTER TABLE stream_traces RENAME TO away")
    with pytest.raises(StoreError):
        await tail.more()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
        database.execute("ALTER TABLE away RENAME TO stream_traces")
    assert [trace.trace_id for trace in await tail.more()] == ["trace-1"]
