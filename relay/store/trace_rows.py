"""A trace's row as the table keeps it, and back: whole, or as a list shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Final, cast

import msgspec
from sqlalchemy import SQLColumnExpression
from sqlmodel import col

from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceSummary
from relay.store.models import StreamTrace, moment
from relay.wire.jsontext import JsonValue

LABEL_CHARS_MAX: Final = 512
"""Ids and labels are cut here: PostgreSQL refuses to index what exceeds a third of its page."""

ROW_BYTES: Final = 1024
"""What a row without its texts is counted as: its labels and numbers, and its place in indices."""

_JSON: Final = frozenset({"events", "missing_sequences", "timeline", "anomaly"})
_CONTENT: Final = ("sdk_content", "sse_content")
_NAMES: Final = tuple(item.name for item in fields(TraceRow))
_DERIVED: Final = ("missing_count", "content_bytes", "size_bytes", "updated_at")
_KEPT: Final = frozenset({"trace_id", "created_at"})

AMENDED: Final = tuple(name for name in (*_NAMES, *_DERIVED) if name not in _KEPT)
"""The columns that change where a row is written again."""

_LISTED: Final = tuple(item.name for item in fields(TraceSummary))

LISTED: Final[Sequence[SQLColumnExpression[object]]] = tuple(
    col(getattr(StreamTrace, name)) for name in _LISTED
)
"""The columns of `to_summary`, in its order: no texts and no timeline."""

Values = dict[str, object]
"""A row by column, as a statement takes it."""


def to_columns(row: TraceRow, now: float) -> Values:
    """Return what is written of a row. Raises `TypeError` or `ValueError` for what is no JSON."""
    values = {name: _to_column(name, getattr(row, name)) for name in _NAMES}
    content = sum(_size(values[name]) for name in _CONTENT)
    values["missing_count"] = len(row.missing_sequences)
    values["content_bytes"] = content
    values["size_bytes"] = content + sum(_size(values[name]) for name in _JSON) + ROW_BYTES
    values["created_at"] = moment(row.created_at)
    values["updated_at"] = moment(now)
    return values


def from_columns(record: StreamTrace) -> TraceRow:
    """Return the row that was written."""
    values = {name: _from_column(name, getattr(record, name)) for name in _NAMES}
    # Every field has a column of its name, and `_from_column` undoes `_to_column`.
    return TraceRow(**values)  # type: ignore[arg-type]


def to_summary(columns: Sequence[object]) -> TraceSummary:
    """Return a trace as a list shows it, from the columns of `LISTED`."""
    values = {name: _from_column(name, value) for name, value in zip(_LISTED, columns, strict=True)}
    # As above: `LISTED` is made from the fields.
    return TraceSummary(**values)  # type: ignore[arg-type]


def label(text: str) -> str:
    """Return an id or a label as the table keeps it; who looks for one looks for this."""
    return clean(text)[:LABEL_CHARS_MAX]


def clean(text: str) -> str:
    """Return text that every database takes: no NUL, no lone half of a surrogate pair."""
    text = str(text).replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _to_column(name: str, value: object) -> object:
    if name in _JSON:
        return None if value is None else _json(value)
    if isinstance(value, str):
        return clean(value) if name in _CONTENT else label(value)
    return value


def _from_column(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    return msgspec.json.decode(value) if name in _JSON and isinstance(value, str) else value


def _size(value: object) -> int:
    return len(value.encode()) if isinstance(value, str) else 0


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
