from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from relay.admin.traces import TraceFilter, TraceOrder, TraceQuery
from relay.errors import BadRequest
from relay.store.engine import Database
from relay.store.models import moment
from relay.store.trace_cursor import Place, read_cursor, write_cursor
from tests.support.store import NOW
from tests.support.trace_archive import check_pages

PLACE = Place(moment(NOW + 0.000001), 7, 0.1 + 0.2)
QUERY = TraceQuery(TraceFilter(status="anomaly"), TraceOrder.DELIVERY)


async def test_all_pages_together_are_the_list(database: Database) -> None:
    """Each wanted trace once, in order: for every order, both directions, equal values and none."""
    await check_pages(database)


def test_a_cursor_comes_back_as_it_was() -> None:
    """To the microsecond, and to the last bit of a number."""
    given = replace(QUERY, cursor=write_cursor(QUERY, PLACE))
    assert read_cursor(given) == PLACE
    assert read_cursor(QUERY) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(QUERY, where=TraceFilter(status="completed")),
        replace(QUERY, order=TraceOrder.MISSING),
        replace(QUERY, descending=False),
    ],
)
def test_a_cursor_of_another_list_is_refused(other: TraceQuery) -> None:
    """Its place means nothing there. The size of a page may change."""
    cursor = write_cursor(QUERY, PLACE)
    with pytest.raises(BadRequest, match="of this same list"):
        read_cursor(replace(other, cursor=cursor))
    assert read_cursor(replace(QUERY, limit=3, cursor=cursor)) == PLACE


def forged(query: TraceQuery, **changes: object) -> str:
    """A cursor of this list with something else in it."""
    parts = base64.urlsafe_b64decode(write_cursor(query, PLACE) + "==").decode()[1:-1].split(",")
    values = dict(zip(("list", "created", "number", "value"), parts, strict=True))
    values |= {name: str(value) for name, value in changes.items()}
    return base64.urlsafe_b64encode(f"[{','.join(values.values())}]".encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "\x00", "\ud800", "AAAA", "e30", "W10", "bnVsbA", "a" * 10_000, "====", "a+b/"],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    """Whatever somebody types into a URL."""
    with pytest.raises(BadRequest, match="of this same list"):
        read_cursor(replace(QUERY, cursor=cursor))


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 2**63},
        {"number": "1.5"},
        {"created": 10**30},
        {"created": -(10**18)},
        {"value": 2**64},
        {"value": "true"},
        {"value": '"1"'},
        {"value": "1e400"},
    ],
)
def test_a_forged_cursor_is_refused(changes: dict[str, object]) -> None:
    """Before a database fails on it."""
    assert read_cursor(replace(QUERY, cursor=forged(QUERY))) == PLACE
    with pytest.raises(BadRequest, match="of this same list"):
        read_cursor(replace(QUERY, cursor=forged(QUERY, **changes)))


@pytest.mark.parametrize("value", ["null", "0.5"])
def test_a_value_that_the_order_cannot_have_is_refused(value: str) -> None:
    """Every trace has a count, and it is a whole number."""
    query = replace(QUERY, order=TraceOrder.CHUNKS)
    with pytest.raises(BadRequest):
        read_cursor(replace(query, cursor=forged(query, value=value)))
