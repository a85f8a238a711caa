"""Which traces an operator asks for, and what one page of them holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from relay.wire.jsontext import JsonValue

PAGE_ROWS_MAX: Final = 500
"""How many traces one page may have."""


class TraceOrder(StrEnum):
    """What a list of traces can be sorted by; traces that are equal in it go by their age."""

    CREATED = "created"
    """When the device asked."""
    MISSING = "missing"
    """How many sequences are missing."""
    CHUNKS = "chunks"
    """How many chunks the bot sent."""
    FIRST_CHUNK = "first_chunk"
    """How long the first chunk took."""
    DELIVERY = "delivery"
    """The 99th percentile of the delivery delay."""


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which traces are wanted. None wants all; several conditions must all hold."""

    status: str | None = None
    outcome: str | None = None
    bot_id: int | None = None
    message_id: str | None = None
    """The device's, which names a conversation."""
    user_id: str | None = None
    agent_id: str | None = None
    loss_position: str | None = None
    """`head`, `middle`, `tail` or `mixed`."""
    loss_hop: str | None = None
    """`bot_to_relay`, `relay_to_device` or `both`."""
    repaired_by: str | None = None
    sdk_version: str | None = None
    since: float | None = None
    """Seconds since the epoch, inclusive."""
    until: float | None = None
    """Seconds since the epoch, exclusive."""
    anomaly: str | None = None
    """Text that the anomaly holds, in any case; `%` and `_` mean themselves."""

    @property
    def is_empty(self) -> bool:
        """Whether it wants all traces."""
        return self == TraceFilter()


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """One page of a list of traces."""

    where: TraceFilter = field(default_factory=TraceFilter)
    order: TraceOrder = TraceOrder.CREATED
    descending: bool = True
    limit: int = 50
    """1 to `PAGE_ROWS_MAX`."""
    cursor: str | None = None
    """`TracePage.next_cursor` of the page before; of the same filter and order."""


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace as a list shows it: `relay.admin.trace_row.TraceRow` without texts and timeline."""

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
    """Milliseconds, as all delays."""
    avg_chunk_interval: int | None
    last_chunk_delay: int | None
    ack_delay_p50: float | None
    ack_delay_p99: float | None
    delivery_delay_p50: float | None
    delivery_delay_p99: float | None
    anomaly: dict[str, JsonValue] | None
    created_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class TracePage:
    """Some of the wanted traces, in the wanted order."""

    traces: list[TraceSummary]
    next_cursor: str | None
    """Where the next page begins; None behind the last one."""
