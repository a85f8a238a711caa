"""Many traces, a bounded step at a time: how they are exported, deleted and swept.

A step reads or changes at most so many rows and bytes in a transaction of its own. Between two of
them whoever else wants to write gets the lock, and chunks get the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final

import sqlalchemy
from sqlalchemy import ColumnElement, CursorResult, Update
from sqlalchemy.sql.dml import Delete
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceOrder
from relay.store.engine import Database
from relay.store.models import StreamTrace
from relay.store.trace_cursor import CREATED, NUMBER, Place, behind, sorting
from relay.store.trace_rows import from_columns

STEP_ROWS_MAX: Final = 500
STEP_BYTES_MAX: Final = 4 * 1024 * 1024
"""How much one step is at most. A single row may be more, and is then a step of its own."""

FETCH_ROWS_MAX: Final = 25
FETCH_BYTES_MAX: Final = 256 * 1024
"""How many whole rows are taken from the driver at once, and are in memory at once: more would hold
the event loop up, and leave holes in the heap between what lives longer."""

PAUSE_S: Final = 0.02
"""What others who want to write are given between two steps. SQLite's waiters look again
after 1, 3, 8, 18 ms and so on, and get the lock only where nobody has it just then."""

Pause = Callable[[], Awaitable[None]]


async def breathe() -> None:
    """Let others write."""
    await asyncio.sleep(PAUSE_S)


async def steps(
    database: Database, wanted: Sequence[ColumnElement[bool]], *, newest_first: bool
) -> AsyncIterator[list[int]]:
    """Yield the numbers of all rows that are wanted, by age, each once and a step at a time."""
    async for step in _sized_steps(database, wanted, newest_first=newest_first):
        yield [number for number, _ in step]


async def _sized_steps(
    database: Database, wanted: Sequence[ColumnElement[bool]], *, newest_first: bool
) -> AsyncIterator[list[tuple[int, int]]]:
    """Yield numbers and bytes of rows.

    Only keys and sizes are read here, which all lie in one index where nothing else is asked for.
    """
    order = sorting(TraceOrder.CREATED, descending=newest_first)
    size = col(StreamTrace.size_bytes)
    query = sqlalchemy.select(NUMBER, CREATED, size).where(*wanted).order_by(*order)
    place: Place | None = None
    while True:
        rest = query.limit(STEP_ROWS_MAX)
        if place is not None:
            rest = rest.where(behind(TraceOrder.CREATED, place, descending=newest_first))
        async with database.read() as session:
            rows = (await (await session.connection()).execute(rest)).all()
        sizes = accumulate(row.size_bytes for row in rows)
        fitting = sum(total <= STEP_BYTES_MAX for total in sizes)
        if not (taken := rows[: max(1, fitting)]):
            return
        place = Place(taken[-1].created_at, taken[-1].id)
        yield [(row.id, row.size_bytes) for row in taken]
        if len(taken) == len(rows) < STEP_ROWS_MAX:
            return


async def export(
    database: Database, wanted: Sequence[ColumnElement[bool]]
) -> AsyncIterator[list[TraceRow]]:
    """Yield the rows that are wanted, newest first, a fetch at a time."""
    async for step in _sized_steps(database, wanted, newest_first=True):
        for numbers in _fetches(step):
            async with database.read() as session:
                # In order below: SQLite would copy whole rows to sort them.
                records = (await session.exec(select(StreamTrace).where(NUMBER.in_(numbers)))).all()
            by_number = {record.id: record for record in records}
            rows: list[TraceRow] = []
            for number in numbers:
                if number in by_number:
                    rows.append(from_columns(by_number[number]))
                    # Decoding a timeline takes its time, and chunks share this event loop.
                    await asyncio.sleep(0)
            if rows:
                yield rows


def _fetches(step: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    numbers: list[int] = []
    total = 0
    for number, size in step:
        if numbers and (len(numbers) == FETCH_ROWS_MAX or total + size > FETCH_BYTES_MAX):
            yield numbers
            numbers, total = [], 0
        numbers.append(number)
        total += size
    if numbers:
        yield numbers


async def delete(
    database: Database, wanted: Sequence[ColumnElement[bool]], *, pause: Pause = breathe
) -> int:
    """Delete the rows that are wanted, newest first; returns how many there were.

    A row that is amended meanwhile and then no longer wanted stays.
    """
    deleted = 0
    async for numbers in steps(database, wanted, newest_first=True):
        async with database.write() as session:
            # In the order of their numbers, so that two who delete do not wait for each other.
            locked = sqlalchemy.select(NUMBER).where(NUMBER.in_(numbers), *wanted)
            locked = locked.order_by(NUMBER).with_for_update()
            deleted += await changed(
                session, sqlalchemy.delete(StreamTrace).where(NUMBER.in_(locked))
            )
        await pause()
    return deleted


async def changed(session: AsyncSession, statement: Update | Delete) -> int:
    """Perform a statement; returns how many rows it changed."""
    result = await (await session.connection()).execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
