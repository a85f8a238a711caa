"""Traces in the order in which they were written, which is not that of their questions.

A row's number says when it was first written: a stream that took long has an older question and a
newer number. An amended row keeps its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from relay.admin.traces import PAGE_ROWS_MAX, TraceFilter, TraceSummary
from relay.store.engine import Database
from relay.store.models import StreamTrace
from relay.store.trace_filter import conditions
from relay.store.trace_rows import LISTED, to_summary

_row = col(StreamTrace.id)

LOOK_BACK_ROWS: Final = 2_000
"""Several relays may write one database at once, and a number that was taken first may be seen
last. So this many numbers below the highest are looked at again."""

NUMBERS_MAX: Final = 2 * LOOK_BACK_ROWS
"""How many numbers one look takes, so that each one gets on."""


class TraceTail:
    """Follows the traces of one database. Every method raises `StoreError` where it fails.

    A look that failed loses nothing: the next one begins where the last good one ended.
    """

    def __init__(self, database: Database, where: TraceFilter) -> None:
        self._database = database
        self._where = where
        self._highest = 0
        self._seen: set[int] = set()

    async def newest(self, count: int) -> list[TraceSummary]:
        """Return the wanted traces that were written last, oldest first, and begin behind them."""
        async with self._database.read() as session:
            connection = await session.connection()
            top = sqlalchemy.select(_row).order_by(_row.desc()).limit(LOOK_BACK_ROWS)
            numbers = await _numbers(connection, top)
            highest = max(numbers, default=0)
            query = (
                sqlalchemy.select(*LISTED)
                .where(*conditions(self._where), _row <= highest)
                .order_by(_row.desc())
                .limit(count)
            )
            rows = (await connection.execute(query)).all() if count else []
        self._highest, self._seen = highest, set(numbers)
        return [to_summary(row) for row in reversed(rows)]

    async def more(self) -> list[TraceSummary]:
        """Return the wanted traces that were written since, in that order."""
        async with self._database.read() as session:
            connection = await session.connection()
            query = (
                sqlalchemy.select(_row)
                .where(_row > self._highest - LOOK_BACK_ROWS)
                .order_by(_row)
                .limit(NUMBERS_MAX)
            )
            numbers = await _numbers(connection, query)
            news = [number for number in numbers if number not in self._seen]
            found: list[TraceSummary] = []
            for at in range(0, len(news), PAGE_ROWS_MAX):
                found += await self._read(connection, news[at : at + PAGE_ROWS_MAX])
        self._highest = max([self._highest, *numbers])
        floor = self._highest - LOOK_BACK_ROWS
        self._seen = {number for number in self._seen.union(news) if number > floor}
        return found

    async def _read(
        self, connection: AsyncConnection, numbers: Sequence[int]
    ) -> list[TraceSummary]:
        wanted = (_row.in_(numbers), *conditions(self._where))
        query = sqlalchemy.select(*LISTED).where(*wanted).order_by(_row)
        return [to_summary(row) for row in (await connection.execute(query)).all()]


async def _numbers(connection: AsyncConnection, query: sqlalchemy.Select[int | None]) -> list[int]:
    # The column is no key for the type checker: its model's id is None before it is stored.
    return [number for number in (await connection.execute(query)).scalars() if number is not None]
