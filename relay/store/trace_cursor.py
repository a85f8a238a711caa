"""The order of a list of traces, and the cursor that says where its next page begins.

A page begins behind a row, not at a number of rows: rows that come or go meanwhile move none of
those that are still to be seen. So the cursor holds what the row before has in the columns of the
order. Every order ends with when the device asked and with the row's number, which no two share.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    SQLColumnExpression,
    and_,
    literal,
    or_,
    tuple_,
)
from sqlalchemy.types import TypeEngine
from sqlmodel import col

from relay.admin.traces import TraceOrder, TraceQuery
from relay.errors import BadRequest
from relay.store.models import ROW_ID, StreamTrace, UtcTime

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
INT_MAX: Final = 2**63 - 1

CREATED: Final = col(StreamTrace.created_at)
NUMBER: Final = col(StreamTrace.id)

_COLUMNS: Final = {
    TraceOrder.MISSING: col(StreamTrace.missing_count),
    TraceOrder.CHUNKS: col(StreamTrace.sdk_chunk_count),
    TraceOrder.FIRST_CHUNK: col(StreamTrace.first_chunk_delay),
    TraceOrder.DELIVERY: col(StreamTrace.delivery_delay_p99),
}
_TYPES: Final[Mapping[TraceOrder, TypeEngine[int] | TypeEngine[float]]] = {
    TraceOrder.MISSING: BigInteger(),
    TraceOrder.CHUNKS: BigInteger(),
    TraceOrder.FIRST_CHUNK: BigInteger(),
    TraceOrder.DELIVERY: Double(),
}
_MAY_BE_NULL: Final = frozenset({TraceOrder.FIRST_CHUNK, TraceOrder.DELIVERY})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands in the order."""

    created_at: datetime
    number: int
    value: float | int | None = None
    """In the column of the order; None as well where the order is that of age."""


class _Written(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    list_id: str
    created_us: int
    number: int
    value: int | float | None


def column_of(order: TraceOrder) -> SQLColumnExpression[float | None] | None:
    """Return what the list is sorted by before age; None where by age alone."""
    return _COLUMNS.get(order)


def sorting(order: TraceOrder, *, descending: bool) -> Sequence[SQLColumnExpression[object]]:
    """Return the order. Traces without a value stand last in both directions."""
    column = column_of(order)
    by: list[SQLColumnExpression[object]] = [CREATED, NUMBER]
    if column is not None:
        by.insert(0, column)
    directed = [each.desc() if descending else each.asc() for each in by]
    # PostgreSQL puts NULL last where it goes up and first where it goes down, SQLite the reverse.
    return [column.is_(None), *directed] if column is not None and _nulls(order) else directed


def behind(order: TraceOrder, place: Place, *, descending: bool) -> ColumnElement[bool]:
    """Return what holds of the rows behind a place."""
    column = column_of(order)
    columns: list[SQLColumnExpression[object]] = [CREATED, NUMBER]
    values: list[SQLColumnExpression[object]] = [
        literal(place.created_at, UtcTime()),
        literal(place.number, ROW_ID),
    ]
    if column is None:
        return _after(columns, values, descending=descending)
    if place.value is None:
        return and_(column.is_(None), _after(columns, values, descending=descending))
    values.insert(0, literal(place.value, _TYPES[order]))
    after = _after([column, *columns], values, descending=descending)
    return or_(column.is_(None), after) if _nulls(order) else after


def _after(
    columns: Sequence[SQLColumnExpression[object]],
    values: Sequence[SQLColumnExpression[object]],
    *,
    descending: bool,
) -> ColumnElement[bool]:
    row, mark = tuple_(*columns), tuple_(*values)
    return row < mark if descending else row > mark


def _nulls(order: TraceOrder) -> bool:
    return order in _MAY_BE_NULL


# --- as text ----------------------------------------------------------------------------


def write_cursor(query: TraceQuery, place: Place) -> str:
    """Return the place as `TracePage.next_cursor`."""
    since = (place.created_at - EPOCH) // MICROSECOND
    written = _Written(_list_id(query), since, place.number, place.value)
    return base64.urlsafe_b64encode(msgspec.json.encode(written)).rstrip(b"=").decode()


def read_cursor(query: TraceQuery) -> Place | None:
    """Return where the page begins; None at the beginning of the list.

    Raises `BadRequest` for what is no cursor, or that of another list.
    """
    if query.cursor is None:
        return None
    wrong = BadRequest("take next_cursor of a page of this same list", field="cursor")
    try:
        padded = query.cursor.encode() + b"=" * (-len(query.cursor) % 4)
        written = msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=_Written
        )
        created_at = EPOCH + written.created_us * MICROSECOND
    except (binascii.Error, msgspec.DecodeError, OverflowError, UnicodeError):
        raise wrong from None
    value = written.value
    of_another_kind = isinstance(value, float) and query.order is not TraceOrder.DELIVERY
    needed = query.order in (TraceOrder.MISSING, TraceOrder.CHUNKS)
    if (
        written.list_id != _list_id(query)
        or of_another_kind
        or (value is None and needed)
        or not all(abs(number) <= INT_MAX for number in (written.number, value or 0))
    ):
        raise wrong
    return Place(created_at, written.number, value)


def _list_id(query: TraceQuery) -> str:
    """Name a list: by what is wanted and how it is sorted, not by its pages."""
    parts = [asdict(query.where), query.order.value, query.descending]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:12]
