"""What is kept of one stream: the row of its trace."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.wire.jsontext import JsonValue


@dataclass(frozen=True, slots=True)
class TraceRow:
    """Everything that is kept of a stream. Delays are milliseconds."""

    trace_id: str
    stream_id: str
    message_id: str
    agent_id: str
    user_id: str
    bot_id: int | None
    access_key_id: int
    status: str
    outcome: str
    created_at: float
    """When the device asked, in seconds since the epoch."""
    sdk_version: str = ""
    protocol: int = 1
    events: list[JsonValue] = field(default_factory=list)
    """JSON objects `{"type", "data", "timestamp", "ms"}`, the last since the request."""
    sdk_content: str = ""
    """The text that the bot sent."""
    sse_content: str = ""
    """The text that the device was shown."""
    sdk_chunk_count: int = 0
    sse_chunk_count: int = 0
    sdk_total_chunks: int | None = None
    missing_sequences: list[int] = field(default_factory=list)
    loss_position: str | None = None
    loss_hop: str | None = None
    repaired_by: str | None = None
    first_chunk_delay: int | None = None
    avg_chunk_interval: int | None = None
    last_chunk_delay: int | None = None
    ack_delay_p50: float | None = None
    ack_delay_p99: float | None = None
    delivery_delay_p50: float | None = None
    delivery_delay_p99: float | None = None
    timeline: list[JsonValue] = field(default_factory=list)
    """`[sequence, received_ms, acked_ms, delivered_ms | null, length]` for each chunk."""
    anomaly: dict[str, JsonValue] | None = None
