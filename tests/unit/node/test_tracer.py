"""Trace rows are written in batches, off the data path, and what is lost is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from relay.admin.trace_row import TraceRow
from relay.errors import BrokerUnavailable, StoreError
from relay.node.tracer import MakeRow, Tracer
from tests.support.node import NOW, Store, settle_down

ROW = TraceRow("t", "s", "c", "agent", "user", 1, 7, "completed", "completed", NOW)


def row(number: int, status: str = "completed") -> TraceRow:
    """A row of a trace of its own."""
    return replace(ROW, trace_id=f"t{number}", stream_id=f"s{number}", status=status)


def making(made: TraceRow) -> MakeRow:
    """Makes this row when it is asked to."""

    async def make() -> TraceRow:
        return made

    return make


async def failing() -> TraceRow:
    """Makes no row: its log is gone."""
    raise LookupError("no log")


@pytest.fixture
def store() -> Store:
    """A store that takes everything."""
    return Store()


@pytest.fixture
async def tracer(store: Store) -> AsyncIterator[Tracer]:
    """A tracer of small batches that runs, and stops at the end."""
    tracer = Tracer(store, batch_rows=10, batch_s=0.0, backlog_max=25)
    yield tracer
    await tracer.stop()


async def test_a_row_whose_log_is_away_waits_and_the_others_are_written(store: Store) -> None:
    """Nothing is wrong with it: its broker does not answer just now."""
    tracer = Tracer(store, batch_s=0.0, retry_s=0.0)
    asked: list[str] = []

    async def away_once() -> TraceRow:
        asked.append("t1")
        if len(asked) == 1:
            raise BrokerUnavailable("away")
        return row(1)

    tracer.submit("t1", away_once)
    tracer.submit("t2", making(row(2)))
    tracer.start()
    await settle_down()
    await tracer.stop()
    assert store.batches == [1, 1]
    assert set(store.rows) == {"s1", "s2"}
    assert (tracer.backlog, tracer.lost) == (0, 0)


async def test_rows_are_written_in_batches(store: Store, tracer: Tracer) -> None:
    """As many in one statement as a batch holds, and never one by one."""
    for number in range(25):
        tracer.submit(f"t{number}", making(row(number)))
    tracer.start()
    await settle_down()
    assert store.batches == [10, 10, 5]
    assert len(store.rows) == 25
    assert (tracer.backlog, tracer.lost) == (0, 0)


async def test_nothing_is_made_on_the_way_of_a_chunk(store: Store, tracer: Tracer) -> None:
    """`submit` only notes; the row is made when the tracer gets to it."""
    made: list[int] = []

    async def make() -> TraceRow:
        made.append(1)
        return row(1)

    tracer.start()
    tracer.submit("t1", make)
    assert (made, tracer.backlog) == ([], 1)
    await settle_down()
    assert (made, tracer.backlog) == ([1], 0)


async def test_the_newest_row_of_a_trace_wins(store: Store, tracer: Tracer) -> None:
    """One that still waits is replaced, and the other rows keep their places."""
    tracer.submit("t1", making(row(1, "completed")))
    tracer.submit("t2", making(row(2)))
    tracer.submit("t1", making(row(1, "anomaly")))
    assert tracer.backlog == 2
    tracer.start()
    await settle_down()
    assert store.batches == [2]
    assert store.rows["s1"].status == "anomaly"


async def test_a_row_that_comes_while_others_are_written_is_written_next(
    store: Store, tracer: Tracer
) -> None:
    """Also a newer one of the same trace: it is stored behind the older."""
    tracer.start()
    tracer.submit("t1", making(row(1)))
    while not store.batches:
        tracer.submit("t1", making(row(1, "anomaly")))
        await asyncio.sleep(0)
    await settle_down()
    assert store.rows["s1"].status == "anomaly"


async def test_a_store_that_fails_costs_its_rows_and_nothing_else(
    store: Store, tracer: Tracer
) -> None:
    """They are counted, `submit` knows nothing of it, and the next batch is tried again."""
    tracer.start()
    store.error = OSError("disk full")
    for number in range(12):
        tracer.submit(f"t{number}", making(row(number)))
    await settle_down()
    assert (tracer.lost, tracer.backlog, store.rows) == (12, 0, {})
    store.error = None
    tracer.submit("t99", making(row(99)))
    await settle_down()
    assert (tracer.lost, list(store.rows)) == (12, ["s99"])


async def test_rows_that_the_store_could_not_take_are_counted(store: Store, tracer: Tracer) -> None:
    """It found the bad ones itself and stored the others."""
    store.loses = 3
    tracer.start()
    for number in range(10):
        tracer.submit(f"t{number}", making(row(number)))
    await settle_down()
    assert tracer.lost == 3


async def test_a_row_that_cannot_be_made_costs_only_itself(store: Store, tracer: Tracer) -> None:
    """The others of its batch are written."""
    tracer.submit("t1", making(row(1)))
    tracer.submit("t2", failing)
    tracer.submit("t3", making(row(3)))
    tracer.start()
    await settle_down()
    assert (list(store.rows), tracer.lost) == (["s1", "s3"], 1)


async def test_a_batch_without_a_row_asks_the_store_for_nothing(
    store: Store, tracer: Tracer
) -> None:
    """An empty insert is an error to some stores."""
    tracer.submit("t2", failing)
    tracer.start()
    await settle_down()
    assert (store.batches, tracer.lost) == ([], 1)


async def test_a_full_backlog_loses_new_traces_and_keeps_newer_rows_of_old_ones(
    store: Store, tracer: Tracer
) -> None:
    """Memory is bounded however slow the store is."""
    for number in range(30):
        tracer.submit(f"t{number}", making(row(number)))
    tracer.submit("t0", making(row(0, "anomaly")))
    assert (tracer.backlog, tracer.lost) == (25, 5)
    tracer.start()
    await settle_down()
    assert len(store.rows) == 25
    assert store.rows["s0"].status == "anomaly"


async def test_stopping_writes_what_waits(store: Store, tracer: Tracer) -> None:
    """Submitted just now, or while the last batch is on its way."""
    tracer.start()
    await settle_down()

    async def make() -> TraceRow:
        tracer.submit("t2", making(row(2)))
        return row(1)

    tracer.submit("t1", make)
    await tracer.stop()
    assert store.batches == [1, 1]
    assert list(store.rows) == ["s1", "s2"]


async def test_stopping_what_never_started_is_no_error(store: Store) -> None:
    """A relay that could not start stops too."""
    tracer = Tracer(store)
    await tracer.stop()
    assert store.batches == []


async def test_a_slow_store_is_not_waited_for_by_anybody(store: Store, tracer: Tracer) -> None:
    """Rows are taken while a batch is on its way, and gather for the next."""
    gate = asyncio.Event()

    async def slow() -> TraceRow:
        await gate.wait()
        return row(1)

    tracer.start()
    tracer.submit("t1", slow)
    await settle_down()
    for number in range(2, 5):
        tracer.submit(f"t{number}", making(row(number)))
    await settle_down()
    assert (store.batches, tracer.backlog) == ([], 3)
    gate.set()
    await settle_down()
    assert store.batches == [1, 3]


async def test_a_store_that_hangs_does_not_keep_the_relay_from_ending() -> None:
    """What it was taking and what waited for it is given up, and counted."""
    entered = asyncio.Event()

    class Hanging(Store):
        async def write_traces(self, rows: Sequence[TraceRow]) -> int:
            entered.set()
            await asyncio.Event().wait()
            return len(rows)

    tracer = Tracer(Hanging(), batch_rows=2, batch_s=0.0)
    tracer.start()
    for number in range(5):
        tracer.submit(f"t{number}", making(row(number)))
    await entered.wait()
    await tracer.stop(within_s=0.0)
    assert tracer.lost == 5


async def test_rows_wait_for_a_store_that_is_away() -> None:
    """They are written when it is back, in front, and a newer row of a trace wins."""
    store = Store(error=StoreError("locked"))
    tracer = Tracer(store, batch_s=0.0, retry_s=0.0)
    tracer.start()
    tracer.submit("t0", making(row(0, "active")))
    tracer.submit("t1", making(row(1)))
    await settle_down()
    assert (tracer.backlog, tracer.lost, store.rows) == (2, 0, {})
    tracer.submit("t0", making(row(0)))
    store.error = None
    await tracer.stop()
    assert {name: one.status for name, one in store.rows.items()} == {
        "s0": "completed",
        "s1": "completed",
    }
    assert tracer.lost == 0


async def test_the_end_of_the_relay_does_not_wait_for_a_store_that_is_away() -> None:
    """It is tried once more; what it does not take then is counted."""
    store = Store(error=StoreError("locked"))
    tracer = Tracer(store, batch_s=0.0, retry_s=3600.0)
    tracer.start()
    tracer.submit("t0", making(row(0)))
    await settle_down()
    await tracer.stop()
    assert (tracer.lost, tracer.backlog) == (1, 0)
