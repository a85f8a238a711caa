"""What a span says of a stream: made of its trace row, and so of the same log and notes.

From the bot's side a stream is an agent that was invoked and streams its answer, which is how
OpenTelemetry's GenAI conventions speak of it. What they have no word for is under `relay.`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.admin.trace_row import TraceRow
from relay.protocol.status import Status
from relay.wire.jsontext import JsonValue

OPERATION: Final = "invoke_agent"
PROVIDER: Final = "relay"
"""The conventions want one; which model stands behind a bot, the relay does not know."""

NAMED_MAX: Final = 100
"""How many missing sequences a span names one by one."""

Attribute = str | bool | int | float | Sequence[int]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened, `at` seconds since the epoch."""

    name: str
    at: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamSpan:
    """A span as it is to be exported; times are seconds since the epoch."""

    stream_id: str
    name: str
    start: float
    end: float
    attributes: Mapping[str, Attribute]
    events: Sequence[SpanEvent]
    error: str | None
    """What went wrong; None where all is well."""


def span_of(row: TraceRow) -> StreamSpan:
    """Make the span of a stream."""
    notes = [note for note in row.events if isinstance(note, dict)]
    end = row.created_at + max([0.0, *(_ms(note) for note in notes)]) / 1000
    ended = [_ms(note) for note in notes if note.get("type") == "stream_end"]
    if ended:
        end = row.created_at + ended[0] / 1000
    anomaly = row.anomaly or {}
    error = None
    if row.status == Status.ANOMALY.label:
        error = str(anomaly.get("type") or row.outcome)
    events = [*(_event(row, note) for note in notes), *_holds(row, end), *_missing(row, end)]
    return StreamSpan(
        stream_id=row.stream_id,
        name=OPERATION,
        start=row.created_at,
        end=end,
        attributes=_attributes(row, notes, error),
        events=sorted(events, key=lambda event: event.at),
        error=error,
    )


def _attributes(
    row: TraceRow, notes: Sequence[Mapping[str, JsonValue]], error: str | None
) -> dict[str, Attribute]:
    given: dict[str, Attribute | None] = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.agent.id": row.agent_id or None,
        "gen_ai.conversation.id": row.message_id or None,
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": _seconds(row.first_chunk_delay),
        "error.type": error,
        "relay.stream.id": row.stream_id,
        "relay.trace.id": row.trace_id,
        "relay.bot.id": row.bot_id,
        "relay.protocol": row.protocol,
        "relay.sdk.version": row.sdk_version or None,
        "relay.status": row.status,
        "relay.outcome": row.outcome,
        "relay.chunks.received": row.sdk_chunk_count,
        "relay.chunks.delivered": row.sse_chunk_count,
        "relay.chunks.total": row.sdk_total_chunks,
        "relay.chunks.missing": len(row.missing_sequences),
        "relay.loss.hop": row.loss_hop,
        "relay.loss.position": row.loss_position,
        "relay.repaired_by": row.repaired_by,
        "relay.end_held": _end_held(notes),
        "relay.ack.p50": _seconds(row.ack_delay_p50),
        "relay.ack.p99": _seconds(row.ack_delay_p99),
        "relay.delivery.p50": _seconds(row.delivery_delay_p50),
        "relay.delivery.p99": _seconds(row.delivery_delay_p99),
    }
    return {name: value for name, value in given.items() if value is not None}


def _event(row: TraceRow, note: Mapping[str, JsonValue]) -> SpanEvent:
    data = note.get("data")
    given = data if isinstance(data, dict) else {}
    attributes: dict[str, Attribute] = {
        f"relay.{name}": value
        for name, value in given.items()
        if isinstance(value, str | bool | int | float)
    }
    return SpanEvent(f"relay.{note.get('type')}", row.created_at + _ms(note) / 1000, attributes)


def _holds(row: TraceRow, end: float) -> list[SpanEvent]:
    """Find when chunks waited for an earlier one, and for which, from the order of arrivals."""
    points = [point for point in row.timeline if isinstance(point, list)]
    arrivals = sorted((_number(point[1]), int(_number(point[0]))) for point in points)
    early: set[int] = set()
    awaited, since = 0, 0.0
    found: list[SpanEvent] = []
    for at, sequence in arrivals:
        if sequence > awaited:
            since = since if early else at
            early.add(sequence)
        elif sequence == awaited:
            if early:
                found.append(_hold(row, awaited, since, at))
            awaited, since = awaited + 1, at
            while awaited in early:
                early.remove(awaited)
                awaited += 1
    if early:
        found.append(_hold(row, awaited, since, (end - row.created_at) * 1000))
    return found


def _hold(row: TraceRow, sequence: int, since: float, until: float) -> SpanEvent:
    attributes: dict[str, Attribute] = {
        "relay.sequence": sequence,
        "relay.held": max(0.0, until - since) / 1000,
    }
    return SpanEvent("relay.hold", row.created_at + since / 1000, attributes)


def _missing(row: TraceRow, end: float) -> list[SpanEvent]:
    if not row.missing_sequences:
        return []
    attributes: dict[str, Attribute] = {
        "relay.chunks.missing": len(row.missing_sequences),
        "relay.sequences": row.missing_sequences[:NAMED_MAX],
    }
    return [SpanEvent("relay.missing", end, attributes)]


def _end_held(notes: Sequence[Mapping[str, JsonValue]]) -> float | None:
    """How long the end was held for missing chunks, in seconds."""
    at = {str(note.get("type")): _ms(note) for note in notes}
    if "end_received" not in at or "stream_end" not in at:
        return None
    return (at["stream_end"] - at["end_received"]) / 1000


def _ms(note: Mapping[str, JsonValue]) -> float:
    return _number(note.get("ms"))


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
