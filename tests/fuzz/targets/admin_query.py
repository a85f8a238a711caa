"""What administrators ask: the API's queries and bodies, the page's filters, cursors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from sqlalchemy.dialects import sqlite

from relay.admin.traces import TraceFilter, TraceOrder, TraceQuery
from relay.errors import BadRequest
from relay.store.trace_cursor import INT_MAX, Place, read_cursor, write_cursor
from relay.store.trace_filter import conditions
from relay.web.admin import schema
from relay.web.admin.operations import query_reader, read_json
from relay.web.admin.page_filters import MOMENT_MAX, read_filters
from tests.fuzz.pieces import text
from tests.fuzz.target import Target

_QUERIES: Final = (
    schema.TraceListQuery,
    schema.TraceExportQuery,
    schema.TraceDeleteQuery,
    schema.StatisticsQuery,
    schema.LiveQuery,
)
_READERS: Final = [query_reader(kind) for kind in _QUERIES]
_BODIES: Final = (schema.BotCreate, schema.KeyCreate, schema.KeyChange)
_NOW: Final = 1_700_000_000.0


def check(data: bytes) -> None:
    """Each is read as its type says, or is a `BadRequest`; a filter is one that SQL can say."""
    for reader in _READERS:
        try:
            query = reader(data)
        except BadRequest as error:
            assert error.field
            assert error.message
            continue
        if isinstance(query, schema.TraceFilterQuery):
            _condition(schema.filter_value(query))
        if isinstance(query, schema.StatisticsQuery):
            assert all(0 <= (schema.seconds(at) or 0) < MOMENT_MAX for at in (query.since,))
    for body in _BODIES:
        try:
            read_json(data, body)
        except BadRequest as error:
            assert error.message
    given = dict(parse_qsl(data.decode("latin-1"), keep_blank_values=True))
    filters = read_filters(given, _NOW)
    for at in (filters.where.since, filters.where.until):
        assert at is None or 0 <= at < MOMENT_MAX
    _condition(filters.where)
    again = read_filters(dict(parse_qsl(filters.address("/x").partition("?")[2])), _NOW)
    assert replace(again, problems=(), cursor=None) == replace(filters, problems=(), cursor=None)
    _cursor(text(data))


def _condition(where: TraceFilter) -> None:
    try:
        found = conditions(where)
    except BadRequest:
        return
    for condition in found:
        condition.compile(dialect=sqlite.dialect())


def _cursor(token: str) -> None:
    for order in TraceOrder:
        try:
            place = read_cursor(TraceQuery(order=order, cursor=token))
        except BadRequest as error:
            assert error.field == "cursor"
            continue
        assert place is not None
        assert abs(place.number) <= INT_MAX


def seeds() -> list[bytes]:
    """Every parameter of the table, a body of each type, and a cursor."""
    cursor = write_cursor(TraceQuery(), Place(datetime(2026, 1, 1, tzinfo=UTC), 7))
    found = [
        "status=anomaly&outcome=completed&bot_id=7&message_id=1&user_id=U1&agent_id=a",
        "loss_position=head&loss_hop=both&repaired_by=summary&sdk_version=2.3.10&anomaly=lost%22",
        "since=2026-02-27T08:41:00Z&until=2026-02-28T00:00:00%2B08:00&order=missing&direction=asc",
        f"limit=50&cursor={cursor}",
        "all=true&format=csv&step=60",
        "span=24h&since=1740000000.5&until=2026-02-27T08:41&tz=-480&sort=missing&dir=asc",
        '{"name":"n","user_id":"U1"}',
        '{"name":"n","scope":{"agents":["a"],"bots":[1],"users":null}}',
        '{"scope":{"bots":[1.0]}}',
        cursor,
    ]
    return [one.encode() for one in found]


TARGET: Final = Target(check, seeds)
