"""What the admin API takes, as types: its document's schemas are made from them.

The names are those of `relay.admin`; moments are ISO 8601 strings with a zone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from relay.admin.people import Scope as ScopeValue
from relay.admin.traces import PAGE_ROWS_MAX, TraceFilter, TraceOrder

ID_MAX: Final = 2**63 - 1
TEXT_CHARS_MAX: Final = 512
NAME_CHARS_MAX: Final = 255
SCOPE_ITEMS_MAX: Final = 1_000
LIVE_MAX: Final = 1_000
"""How many live streams one answer or snapshot shows."""

SECONDS_MAX: Final = 253_402_300_799.0
"""The end of the year 9999, behind which a database knows no moment."""

STEP_S_MIN: Final = 10
STEP_S_MAX: Final = 31 * 86_400

_NO_NUL = "^[^\\u0000]*$"
"""PostgreSQL can neither keep nor compare a NUL."""

Moment = Annotated[datetime, Meta(tz=True, description="ISO 8601, UTC.")]
Id = Annotated[int, Meta(ge=1, le=ID_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, pattern=_NO_NUL)]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        pattern=_NO_NUL,
        description="Printable characters; blanks around it are dropped.",
    ),
]
TraceId = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[A-Za-z0-9._-]+$")]

# --- what is asked ------------------------------------------------------------------------


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters, or no body."""


class TraceFilterQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which traces; several conditions must all hold."""

    status: Literal["pending", "active", "ending", "completed", "anomaly"] | None = None
    outcome: Text | None = None
    bot_id: Id | None = None
    message_id: (
        Annotated[Text, Meta(description="The device's, which names a conversation.")] | None
    ) = None
    user_id: Text | None = None
    agent_id: Text | None = None
    loss_position: Literal["head", "middle", "tail", "mixed"] | None = None
    loss_hop: Literal["bot_to_relay", "relay_to_device", "both"] | None = None
    repaired_by: Literal["retransmit", "summary"] | None = None
    sdk_version: Text | None = None
    since: Moment | None = None
    until: Moment | None = None
    anomaly: Annotated[Text, Meta(description="Text that the anomaly holds.")] | None = None


class TraceListQuery(TraceFilterQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which traces, in what order, and which page of them."""

    order: TraceOrder = TraceOrder.CREATED
    direction: Literal["asc", "desc"] = "desc"
    limit: Annotated[int, Meta(ge=1, le=PAGE_ROWS_MAX)] = 50
    cursor: (
        Annotated[Text, Meta(description="`next_cursor` of the page before; same filter.")] | None
    ) = None


class TraceExportQuery(TraceFilterQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which traces, and how they are written."""

    format: Literal["jsonl", "csv"] = "jsonl"


class TraceDeleteQuery(TraceFilterQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which traces are deleted."""

    all: Annotated[bool, Meta(description="Say that no filter means all traces.")] = False


class StatisticsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which span of time; the last 24 hours where nothing is said."""

    since: Moment | None = None
    until: Moment | None = None
    step: (
        Annotated[int, Meta(ge=STEP_S_MIN, le=STEP_S_MAX, description="Seconds per interval.")]
        | None
    ) = None


class LiveQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many live streams."""

    limit: Annotated[int, Meta(ge=1, le=LIVE_MAX)] = 200


class TracePath(Struct, frozen=True):
    """Which trace."""

    trace_id: TraceId


class BotPath(Struct, frozen=True):
    """Which bot."""

    bot_id: Id


class KeyPath(Struct, frozen=True):
    """Which access key."""

    key_id: Id


class BindingPath(Struct, frozen=True):
    """Which binding token."""

    binding_id: Id


class Scope(Struct, frozen=True, forbid_unknown_fields=True):
    """What an access key may open and read: null is everything, an empty list nothing."""

    agents: Annotated[list[Text], Meta(max_length=SCOPE_ITEMS_MAX)] | None = None
    bots: Annotated[list[Id], Meta(max_length=SCOPE_ITEMS_MAX)] | None = None
    users: Annotated[list[Text], Meta(max_length=SCOPE_ITEMS_MAX)] | None = None


class BotCreate(Struct, frozen=True, forbid_unknown_fields=True):
    """A new bot."""

    name: Name
    user_id: Text | None = None


class KeyCreate(Struct, frozen=True, forbid_unknown_fields=True):
    """A new access key; without a scope it may do everything."""

    name: Name
    scope: Scope | None = None


class KeyChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Another scope for an access key."""

    scope: Scope


# --- as values ------------------------------------------------------------------------------


def seconds(moment: datetime | None) -> float | None:
    """Return a moment as the store counts it; what lies before 1970 is its beginning."""
    return None if moment is None else min(max(moment.timestamp(), 0.0), SECONDS_MAX)


def filter_value(query: TraceFilterQuery) -> TraceFilter:
    """Return a filter as the store knows it."""
    return TraceFilter(
        status=query.status,
        outcome=query.outcome,
        bot_id=query.bot_id,
        message_id=query.message_id,
        user_id=query.user_id,
        agent_id=query.agent_id,
        loss_position=query.loss_position,
        loss_hop=query.loss_hop,
        repaired_by=query.repaired_by,
        sdk_version=query.sdk_version,
        since=seconds(query.since),
        until=seconds(query.until),
        anomaly=query.anomaly,
    )


def scope_value(scope: Scope | None) -> ScopeValue:
    """Return a scope as the store knows it."""
    if scope is None:
        return ScopeValue()
    return ScopeValue(
        agents=None if scope.agents is None else frozenset(scope.agents),
        bots=None if scope.bots is None else frozenset(scope.bots),
        users=None if scope.users is None else frozenset(scope.users),
    )
