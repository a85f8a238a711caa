"""What the admin API answers, as types: its document's schemas are made from them.

The names are those of `relay.admin`. Moments are ISO 8601 strings in UTC,
delays are milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from relay.admin.people import BindingRecord, BotRecord, KeyRecord
from relay.admin.story import points
from relay.admin.trace_row import TraceRow
from relay.web.admin.schema import Moment, Scope

Json = Annotated[object, Meta(extra_json_schema={"description": "Any JSON value."})]

# --- what is answered: traces and live streams ---------------------------------------------


class TraceSummary(Struct, frozen=True, kw_only=True):
    """A trace as a list shows it. Delays are milliseconds."""

    trace_id: str
    stream_id: str
    message_id: str
    agent_id: str
    user_id: str
    bot_id: int | None
    access_key_id: int
    sdk_version: str
    protocol: int
    status: str
    outcome: str
    sdk_chunk_count: int
    sse_chunk_count: int
    sdk_total_chunks: int | None
    missing_count: int
    loss_position: str | None
    loss_hop: str | None
    repaired_by: str | None
    first_chunk_delay: int | None
    avg_chunk_interval: int | None
    last_chunk_delay: int | None
    ack_delay_p50: float | None
    ack_delay_p99: float | None
    delivery_delay_p50: float | None
    delivery_delay_p99: float | None
    anomaly: dict[str, Json] | None
    created_at: Moment


class TimelinePoint(Struct, frozen=True):
    """One chunk; milliseconds since the device asked. Null: that did not happen."""

    sequence: int
    received_ms: float
    acked_ms: float | None
    delivered_ms: float | None
    length: int


class Trace(TraceSummary, frozen=True, kw_only=True):
    """Everything that is kept of one stream."""

    missing_sequences: list[int]
    timeline: list[TimelinePoint]
    events: list[Json]
    sdk_content: Annotated[str, Meta(description="The text that the bot sent.")]
    sse_content: Annotated[str, Meta(description="The text that the device was shown.")]


class TracePage(Struct, frozen=True):
    """Some traces. `next_cursor` is where the next page begins; null behind the last one."""

    traces: list[TraceSummary]
    next_cursor: str | None


class Deleted(Struct, frozen=True):
    """How many traces were deleted."""

    deleted: int


class LiveStream(Struct, frozen=True, kw_only=True):
    """A stream that is open just now."""

    stream_id: str
    trace_id: str
    message_id: str
    agent_id: str
    user_id: str
    bot_id: int | None
    access_key_id: int
    sdk_version: str
    protocol: int
    status: str
    opened_at: Moment
    age_s: float
    received: int
    delivered: int
    stored: int
    held: int
    missing: int
    readers: int
    bot_connected: bool


class LiveList(Struct, frozen=True):
    """The streams that are open on the relay that answers, oldest first, and its bots."""

    streams: list[LiveStream]
    total: Annotated[int, Meta(description="How many there are, shown or not.")]
    online_bots: list[int]


# --- what is answered: statistics -----------------------------------------------------------


class Percentiles(Struct, frozen=True):
    """Milliseconds; null where nothing was measured."""

    p50: float | None
    p99: float | None


class LossCount(Struct, frozen=True):
    """Streams that lost chunks at one place."""

    hop: str
    position: str
    streams: int


class BotFigures(Struct, frozen=True):
    """One bot's streams; null is questions of users without a bot."""

    bot_id: int | None
    streams: int
    lossy: int
    anomalies: int
    first_chunk: Percentiles


class HourFigures(Struct, frozen=True):
    """How long first chunks took in one hour of one bot."""

    bot_id: int | None
    hour: Moment
    streams: int
    first_chunk: Percentiles


class Interval(Struct, frozen=True):
    """One step of time."""

    start: Moment
    streams: int
    lossy: int
    anomalies: int
    repaired: int
    ack: Percentiles
    delivery: Percentiles


class Statistics(Struct, frozen=True, kw_only=True):
    """What the traces of one span of time say."""

    since: Moment
    until: Moment
    step_s: float
    streams: int
    sampled: Annotated[int, Meta(description="Of how many streams the percentiles are.")]
    by_status: dict[str, int]
    by_outcome: dict[str, int]
    lossy: int
    loss_rate: float
    repaired: int
    chunks: int
    missing: int
    losses: list[LossCount]
    ack: Percentiles
    delivery: Percentiles
    first_chunk: Percentiles
    bots: list[BotFigures]
    hours: list[HourFigures]
    intervals: list[Interval]


# --- what is answered: people ---------------------------------------------------------------


class Bot(Struct, frozen=True, kw_only=True):
    """A bot."""

    bot_id: int
    name: str
    user_id: str | None
    device_id: str | None
    token_prefix: str
    revoked: bool
    created_at: Moment
    online: Annotated[bool, Meta(description="Connected to the relay that answers.")]


class AccessKey(Struct, frozen=True, kw_only=True):
    """An access key."""

    key_id: int
    name: str
    key_prefix: str
    scope: Scope
    created_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None


class Binding(Struct, frozen=True, kw_only=True):
    """A token with which a user binds a device to a bot, once."""

    binding_id: int
    bot_id: int
    token_prefix: str
    created_at: Moment
    expires_at: Moment
    used_at: Moment | None
    user_id: str | None
    device_id: str | None


class BotList(Struct, frozen=True):
    """All bots, oldest first."""

    bots: list[Bot]


class KeyList(Struct, frozen=True):
    """All access keys, oldest first, those that were revoked too."""

    keys: list[AccessKey]


class BindingList(Struct, frozen=True):
    """All binding tokens, newest first."""

    bindings: list[Binding]


class NewBot(Struct, frozen=True):
    """A bot and its token, which is shown this once."""

    record: Bot
    secret: str


class NewKey(Struct, frozen=True):
    """An access key and the key itself, which is shown this once."""

    record: AccessKey
    secret: str


class NewBinding(Struct, frozen=True):
    """A binding token, which is shown this once."""

    record: Binding
    secret: str


class Problem(Struct, frozen=True):
    """What went wrong: `error` says what to do, `code` is stable."""

    error: str
    code: str


# --- from values ----------------------------------------------------------------------------

_T = TypeVar("_T")


def tell(value: object, kind: type[_T]) -> _T:
    """Return a value of `relay.admin` as the API's type of the same fields.

    Not strictly, because that is how seconds since the epoch become moments.
    """
    return msgspec.convert(value, kind, strict=False, from_attributes=True)


def tell_bot(record: BotRecord, online: frozenset[int]) -> Bot:
    """Return a bot."""
    return Bot(
        bot_id=record.bot_id,
        name=record.name,
        user_id=record.user_id,
        device_id=record.device_id,
        token_prefix=record.token_prefix,
        revoked=record.revoked,
        created_at=tell(record.created_at, datetime),
        online=record.bot_id in online,
    )


def tell_key(record: KeyRecord) -> AccessKey:
    """Return an access key."""
    scope = record.scope
    return AccessKey(
        key_id=record.key_id,
        name=record.name,
        key_prefix=record.key_prefix,
        scope=Scope(
            agents=None if scope.agents is None else sorted(scope.agents),
            bots=None if scope.bots is None else sorted(scope.bots),
            users=None if scope.users is None else sorted(scope.users),
        ),
        created_at=tell(record.created_at, datetime),
        last_used_at=tell(record.last_used_at, datetime | None),  # type: ignore[arg-type]
        revoked_at=tell(record.revoked_at, datetime | None),  # type: ignore[arg-type]
    )


def tell_binding(record: BindingRecord) -> Binding:
    """Return a binding token, without the token."""
    return tell(record, Binding)


def tell_trace(row: TraceRow) -> Trace:
    """Return everything of one trace."""
    values = {name: getattr(row, name) for name in row.__slots__}
    timeline = [
        TimelinePoint(
            point.sequence,
            point.received,
            point.acked,
            point.delivered,
            point.length,
        )
        for point in points(row)
    ]
    return tell(
        {**values, "missing_count": len(row.missing_sequences), "timeline": timeline}, Trace
    )
