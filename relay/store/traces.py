"""Queries for traces: written in batches by the tracer, read by people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final, cast

import msgspec
from sqlalchemy import and_, func, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.errors import BadRequest
from relay.logs import get_logger
from relay.node.tracer import TraceRow
from relay.store.engine import Database, database_errors, is_outage, writing
from relay.store.models import StreamTrace, moment
from relay.wire.jsontext import JsonValue

BATCH_ROWS_MAX: Final = 500
"""Rows in one transaction. One by one SQLite takes some 460 a second, so some 391,000."""

STATEMENT_ROWS_MAX: Final = 50
"""Rows handed to the driver at once: preparing more would hold the event loop up."""

LABEL_CHARS_MAX: Final = 512
"""Ids and labels are cut here: PostgreSQL refuses to index what exceeds a third of its page."""

_JSON: Final = frozenset({"events", "missing_sequences", "timeline", "anomaly"})
_LONG: Final = frozenset({"sdk_content", "sse_content"})
_NAMES: Final = tuple(item.name for item in fields(TraceRow))
_KEPT: Final = frozenset({"trace_id", "created_at"})
"""What an amended row does not change."""

SAME_MAX: Final = 5
"""How many traces are named where the beginning of an id fits several."""

_NEWEST_FIRST: Final = (col(StreamTrace.created_at).desc(), col(StreamTrace.id).desc())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces are asked for; None is all."""

    status: str | None = None
    bot_id: int | None = None
    conversation: str | None = None
    """The device's `message_id`."""
    user: str | None = None
    before: str | None = None
    """Only those older than this trace: the last of the page before."""


_Values = dict[str, object]


async def upsert_batch(database: Database, rows: Sequence[TraceRow], *, now: float) -> int:
    """Insert these rows, or update those whose trace is there already; returns how many were lost.

    Of two rows of one trace the later one counts. A row that the database refuses is found by
    halving its batch, logged and counted; all others are stored. NUL is left out and halves of
    surrogate pairs are replaced, since PostgreSQL takes neither.

    Raises `StoreError` where the database is away, locked or full. Some batches may be stored
    then; writing the same rows again is harmless.
    """
    newest = {row.trace_id: row for row in rows}
    values: list[_Values] = []
    lost = 0
    for row in newest.values():
        try:
            values.append(_to_columns(row, now))
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            lost += _log_lost(row.trace_id, error)
        # Rows can be large, and what carries chunks shares this event loop.
        await asyncio.sleep(0)
    with database_errors():
        for start in range(0, len(values), BATCH_ROWS_MAX):
            lost += await _write(database, values[start : start + BATCH_ROWS_MAX])
    return lost


async def get(session: AsyncSession, trace_id: str) -> TraceRow | None:
    """Return the trace with this id."""
    found = await session.exec(select(StreamTrace).where(col(StreamTrace.trace_id) == trace_id))
    record = found.one_or_none()
    return None if record is None else _from_columns(record)


async def find(session: AsyncSession, given: str) -> TraceRow | None:
    """Return the trace with this trace id, stream id, or unique beginning of either.

    Raises `BadRequest` where several begin so.
    """
    names = (col(StreamTrace.trace_id), col(StreamTrace.stream_id))
    exact = or_(*(name == given for name in names))
    begins = or_(*(name.startswith(given, autoescape=True) for name in names))
    for condition in (exact, begins) if given else ():
        query = select(StreamTrace).where(condition).order_by(*_NEWEST_FIRST).limit(SAME_MAX)
        match (await session.exec(query)).all():
            case []:
                continue
            case [record]:
                return _from_columns(record)
            case several:
                ids = ", ".join(record.trace_id for record in several)
                raise BadRequest(f"several traces are {given}: {ids}", field="trace_id")
    return None


async def newest(
    session: AsyncSession, *, limit: int, offset: int = 0, wanted: Wanted | None = None
) -> list[TraceRow]:
    """Return at most `limit` of the wanted traces, newest first, after leaving out `offset`.

    Raises `BadRequest` where the trace is unknown before which they are wanted.
    """
    query = select(StreamTrace).order_by(*_NEWEST_FIRST).limit(limit).offset(offset)
    if wanted is not None:
        for column, value in (
            (col(StreamTrace.status), wanted.status),
            (col(StreamTrace.bot_id), wanted.bot_id),
            (col(StreamTrace.message_id), wanted.conversation),
            (col(StreamTrace.user_id), wanted.user),
        ):
            query = query if value is None else query.where(column == value)
        if wanted.before is not None:
            at, row_id = await _place(session, wanted.before)
            created, number = col(StreamTrace.created_at), col(StreamTrace.id)
            query = query.where(or_(created < at, and_(created == at, number < row_id)))
    return [_from_columns(record) for record in await session.exec(query)]


async def _place(session: AsyncSession, trace_id: str) -> tuple[datetime, int | None]:
    query = select(StreamTrace).where(col(StreamTrace.trace_id) == trace_id)
    record = (await session.exec(query)).one_or_none()
    if record is None:
        raise BadRequest(f"there is no trace {trace_id}", field="before")
    return record.created_at, record.id


async def count(session: AsyncSession) -> int:
    """Return how many traces there are."""
    return (await session.exec(select(func.count()).select_from(StreamTrace))).one()


# --- writing ----------------------------------------------------------------------------


async def _write(database: Database, values: list[_Values]) -> int:
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


async def _upsert(connection: AsyncConnection, values: list[_Values], *, is_sqlite: bool) -> None:
    # The two dialects spell it alike, in two classes.
    insert = cast(
        "Callable[[type[StreamTrace]], postgresql.Insert]",
        sqlite.insert if is_sqlite else postgresql.insert,
    )
    statement = insert(StreamTrace)
    changed = [name for name in (*_NAMES, "updated_at") if name not in _KEPT]
    upsert = statement.on_conflict_do_update(
        index_elements=["trace_id"], set_={name: statement.excluded[name] for name in changed}
    )
    for start in range(0, len(values), STATEMENT_ROWS_MAX):
        await connection.execute(upsert, values[start : start + STATEMENT_ROWS_MAX])


def _log_lost(trace_id: str, error: BaseException) -> int:
    # Only the error's type: a driver's message quotes the value, and that may be what a user said.
    get_logger(__name__).warning("trace_lost", trace_id=trace_id, error=type(error).__name__)
    return 1


# --- rows <-> columns -------------------------------------------------------------------


def _to_columns(row: TraceRow, now: float) -> _Values:
    values = {name: _to_column(name, getattr(row, name)) for name in _NAMES}
    values["created_at"] = moment(row.created_at)
    values["updated_at"] = moment(now)
    return values


def _to_column(name: str, value: object) -> object:
    if name in _JSON:
        return None if value is None else _json(value)
    if isinstance(value, str):
        return clean(value) if name in _LONG else clean(value)[:LABEL_CHARS_MAX]
    return value


def _from_columns(record: StreamTrace) -> TraceRow:
    values = {name: _from_column(name, getattr(record, name)) for name in _NAMES}
    values["created_at"] = record.created_at.timestamp()
    # Every field has a column of its name, and `_from_column` undoes `_to_column`.
    return TraceRow(**values)  # type: ignore[arg-type]


def _from_column(name: str, value: object) -> object:
    return msgspec.json.decode(value) if name in _JSON and isinstance(value, str) else value


def _json(value: object) -> str:
    """Write JSON, and clean the strings in it only where one needs it."""
    try:
        written = msgspec.json.encode(value)
        if b"\\u0000" not in written:
            return written.decode()
    except UnicodeEncodeError:
        pass
    return msgspec.json.encode(_clean_json(cast("JsonValue", value))).decode()


def _clean_json(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return clean(value)
        case list() | tuple():
            return [_clean_json(item) for item in value]
        case dict():
            return {clean(name): _clean_json(item) for name, item in value.items()}
        case _:
            return value


def clean(text: str) -> str:
    """Return text that every database takes: no NUL, no lone half of a surrogate pair."""
    text = str(text).replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
