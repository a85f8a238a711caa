from __future__ import annotations

from dataclasses import replace

import pytest

from relay.admin.trace_row import TraceRow
from relay.protocol.events import Chunk, End, Summary
from relay.protocol.texthash import content_hash
from relay.telemetry.spans import NAMED_MAX, SpanEvent, span_of
from relay.wire.jsontext import JsonValue
from tests.support.ledger import LAG_MS, STEP_MS, TEXTS, WHOLE, Play
from tests.support.node import LINGZHU, NOW, World

ROW = TraceRow("trace_1", "s", "c", "agent", "user", 1, 7, "completed", "completed", NOW)


def arrivals(*sequences: int) -> list[JsonValue]:
    """A timeline on which a chunk came every 100 ms, in this order."""
    return [[sequence, 100.0 * place, None, None, 1] for place, sequence in enumerate(sequences, 1)]


def holds(row: TraceRow) -> list[tuple[float, object, object]]:
    """When each hold began, in ms; for which sequence; how many seconds it took."""
    return [
        (
            round((event.at - NOW) * 1000),
            event.attributes["relay.sequence"],
            event.attributes["relay.held"],
        )
        for event in span_of(row).events
        if event.name == "relay.hold"
    ]


async def test_a_whole_stream_is_a_span_without_an_error() -> None:
    """It begins with the question, ends with the end, and has the conventions' names."""
    world = World()
    play = await Play.begin(world)
    await play.send(*range(8))
    await play.end(End(8))
    await play.read()
    row = await world.row(play.stream_id)
    span = span_of(row)
    assert (span.name, span.stream_id, span.error) == ("invoke_agent", play.stream_id, None)
    assert (span.start, span.end) == (NOW, NOW + play.ledger.ended / 1000)  # type: ignore[operator]
    assert span.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "relay",
        "gen_ai.agent.id": "agent",
        "gen_ai.conversation.id": "c",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": STEP_MS / 1000,
        "relay.stream.id": play.stream_id,
        "relay.trace.id": row.trace_id,
        "relay.bot.id": 1,
        "relay.protocol": 2,
        "relay.sdk.version": "test/1",
        "relay.status": "completed",
        "relay.outcome": "completed",
        "relay.chunks.received": 8,
        "relay.chunks.delivered": 8,
        "relay.chunks.total": 8,
        "relay.chunks.missing": 0,
        "relay.end_held": 0.0,
        "relay.ack.p50": 0.0,
        "relay.ack.p99": 0.0,
        "relay.delivery.p50": LAG_MS / 1000,
        "relay.delivery.p99": LAG_MS / 1000,
    }
    names = [event.name for event in span.events]
    assert names[0] == "relay.request_received"
    assert "relay.hold" not in names


async def test_a_span_tells_what_was_lost_and_how_long_the_end_was_held() -> None:
    """One is missing in the middle, and the end waited two seconds for it."""
    world = World()
    play = await Play.begin(world, protocol=1, device=LINGZHU)
    await play.send(0, 1)
    await play.send(3, read=False)
    await play.end(End(4))
    await world.advance(2.0)
    await play.reader.read_all()
    span = span_of(await world.row(play.stream_id))
    assert span.error == "chunk_loss"
    assert span.attributes["error.type"] == "chunk_loss"
    assert span.attributes["relay.loss.hop"] == "bot_to_relay"
    assert span.attributes["relay.chunks.missing"] == 1
    assert span.attributes["relay.end_held"] == pytest.approx(2.0, abs=0.01)
    (missing,) = [event for event in span.events if event.name == "relay.missing"]
    assert missing == SpanEvent(
        "relay.missing", span.end, {"relay.chunks.missing": 1, "relay.sequences": [2]}
    )
    (hold,) = [event for event in span.events if event.name == "relay.hold"]
    assert hold.attributes["relay.sequence"] == 2
    assert hold.attributes["relay.held"] == pytest.approx(2.0 + STEP_MS / 1000, abs=0.01)


async def test_a_span_tells_of_a_repair() -> None:
    """A summary supplied the text."""
    world = World()
    play = await Play.begin(world, protocol=1)
    await play.send(*range(6))
    await play.end(End())
    await play.bot.say(play.stream_id, Summary(WHOLE, 8, content_hash(WHOLE)))
    await play.reader.read_all()
    span = span_of(await world.row(play.stream_id))
    assert span.attributes["relay.repaired_by"] == "summary"
    (repair,) = [event for event in span.events if event.name == "relay.repaired"]
    assert repair.attributes == {"relay.length": len("".join(TEXTS[6:]))}


async def test_a_span_holds_nothing_that_was_said() -> None:
    """Neither question nor answer, nor who asked."""
    world = World()
    play = await Play.begin(world)
    await play.bot.say(play.stream_id, Chunk("a private word", 0))
    await play.bot.say(play.stream_id, End(1))
    await play.reader.read_all()
    told = repr(span_of(await world.row(play.stream_id)))
    for secret in ("private", "what now?", "'user'"):
        assert secret not in told


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ((0, 1, 2), []),
        ((1, 0), [(100, 0, 0.1)]),
        ((0, 2, 3, 1, 4), [(200, 1, 0.2)]),
        ((0, 2, 4, 1, 3), [(200, 1, 0.2), (400, 3, 0.1)]),
        ((0, 2), [(200, 1, 0.8)]),
        ((0, 0, 2, 1, 1), [(300, 1, 0.1)]),
    ],
)
def test_holds_are_found_in_the_order_of_arrivals(
    order: tuple[int, ...], found: list[tuple[int, int, float]]
) -> None:
    """From the first early chunk until the awaited one came, or until the end."""
    end: JsonValue = {"type": "stream_end", "ms": 1000.0, "data": {}}
    row = replace(ROW, timeline=arrivals(*order), events=[end])
    assert [(at, for_, pytest.approx(held)) for at, for_, held in holds(row)] == found  # type: ignore[comparison-overlap]


def test_a_row_of_an_older_relay_makes_a_span_too() -> None:
    """Notes without times, no anomaly to name: the span is short, and says the outcome."""
    row = replace(ROW, status="anomaly", outcome="idle", events=[{"type": "stream_end"}, "odd"])
    span = span_of(row)
    assert (span.start, span.end, span.error) == (NOW, NOW, "idle")


def test_a_great_loss_does_not_make_a_great_span() -> None:
    """The count is exact, the list is not endless."""
    span = span_of(replace(ROW, missing_sequences=list(range(10_000))))
    (missing,) = [event for event in span.events if event.name == "relay.missing"]
    assert missing.attributes["relay.chunks.missing"] == 10_000
    assert missing.attributes["relay.sequences"] == list(range(NAMED_MAX))
