"""What the API takes, as values of the store."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

from relay.admin.people import EVERYTHING
from relay.admin.people import Scope as ScopeValue
from relay.admin.traces import TraceFilter
from relay.web.admin.schema import (
    SECONDS_MAX,
    Scope,
    TraceFilterQuery,
    filter_value,
    scope_value,
    seconds,
)


def test_the_filter_has_the_stores_fields() -> None:
    """A condition that is added to the store is one that the API forgot, until this is green."""
    assert list(TraceFilterQuery.__struct_fields__) == [one.name for one in fields(TraceFilter)]


def test_each_condition_reaches_the_store() -> None:
    """None is left behind or mixed up with another."""
    names = set(TraceFilterQuery.__struct_fields__) - {"since", "until"}
    for name in names:
        query = TraceFilterQuery(**{name: "x"})  # type: ignore[arg-type]
        assert filter_value(query) == TraceFilter(**{name: "x"})  # type: ignore[arg-type]
    moment = datetime(2025, 6, 15, tzinfo=UTC)
    query = TraceFilterQuery(since=moment, until=moment + timedelta(days=1))
    assert filter_value(query) == TraceFilter(since=1749945600.0, until=1750032000.0)


def test_moments_stay_within_what_a_database_knows() -> None:
    """The year 1 ahead of UTC is the year 0 in UTC, which nobody can write down."""
    assert seconds(None) is None
    assert seconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1.0
    assert seconds(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))) == 0.0
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=14)))
    assert seconds(last) == SECONDS_MAX


def test_an_empty_list_is_nothing_and_null_everything() -> None:
    """The two must not be mixed up: one opens all bots, the other none."""
    assert scope_value(None) == scope_value(Scope()) == EVERYTHING
    scope = Scope(agents=["a"], bots=[], users=["u", "u"])
    assert scope_value(scope) == ScopeValue(frozenset({"a"}), frozenset(), frozenset({"u"}))
