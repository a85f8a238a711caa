"""Traces as the tracer writes them: in batches, and again where a stream is amended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Final

from sqlalchemy import Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from relay.admin.trace_row import TraceRow
from relay.logs import get_logger
from relay.store.engine import Database, database_errors, is_outage, writing
from relay.store.models import StreamTrace
from relay.store.trace_rows import AMENDED, Values, to_columns
from relay.store.upsert import insert_into

BATCH_ROWS_MAX: Final = 500
"""Rows in one transaction. One by one SQLite takes some 460 a second, so some 391,000."""

STATEMENT_ROWS_MAX: Final = 50
"""Rows handed to the driver at once: preparing more would hold the event loop up."""


async def upsert_batch(database: Database, rows: Sequence[TraceRow], *, now: float) -> int:
    """Insert these rows, or update those whose trace is there already; returns how many were lost.

    Of two rows of one trace the later one counts. A row that the database refuses is found by
    halving its batch, logged and counted; all others are stored. NUL is left out and halves of
    surrogate pairs are replaced, since PostgreSQL takes neither.

    Raises `StoreError` where the database is away, locked or full. Some batches may be stored
    then; writing the same rows again is harmless.
    """
    newest = {row.trace_id: row for row in rows}
    values: list[Values] = []
    lost = 0
    for row in newest.values():
        try:
            values.append(to_columns(row, now))
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            lost += _log_lost(row.trace_id, error)
        # Rows can be large, and what carries chunks shares this event loop.
        await asyncio.sleep(0)
    with database_errors():
        for start in range(0, len(values), BATCH_ROWS_MAX):
            lost += await _write(database, values[start : start + BATCH_ROWS_MAX])
    return lost


async def _write(database: Database, values: list[Values]) -> int:
    """Store these in one transaction, or halve them until those that cannot be stored stand alone.

    Returns how many could not. Raises what `is_outage` takes for the database's own trouble.
    """
    try:
        async with writing(database.engine).begin() as connection:
            await _upsert(connection, values, is_sqlite=database.is_sqlite)
    except (ArithmeticError, OSError, SQLAlchemyError, TypeError, ValueError) as error:
        if is_outage(error):
            raise
        if len(values) == 1:
            return _log_lost(str(values[0]["trace_id"]), error)
    else:
        return 0
    middle = len(values) // 2
    return await _write(database, values[:middle]) + await _write(database, values[middle:])


async def _upsert(connection: AsyncConnection, values: list[Values], *, is_sqlite: bool) -> None:
    upsert = _statement(is_sqlite=is_sqlite)
    for start in range(0, len(values), STATEMENT_ROWS_MAX):
        await connection.execute(upsert, values[start : start + STATEMENT_ROWS_MAX])


@cache
def _statement(*, is_sqlite: bool) -> Executable:
    """Return the statement, which is made once: `excluded` copies the table with all its columns.

    Made anew for each batch it was seven eighths of the garbage of a relay under churn.
    """
    statement = insert_into(StreamTrace, is_sqlite=is_sqlite)
    return statement.on_conflict_do_update(
        index_elements=["trace_id"], set_={name: statement.excluded[name] for name in AMENDED}
    )


def _log_lost(trace_id: str, error: BaseException) -> int:
    # Only the error's type: a driver's message quotes the value, and that may be what a user said.
    get_logger(__name__).warning("trace_lost", trace_id=trace_id, error=type(error).__name__)
    return 1
