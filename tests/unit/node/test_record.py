"""The trace row, equal to a ledger that the test keeps by itself."""

from __future__ import annotations

import pytest

from relay.admin.trace_row import TraceRow
from relay.node.record import BOT, EVENTS, MISSING_MAX, StreamRecord
from relay.protocol.events import Abort, Chunk, End, Summary
from relay.protocol.texthash import content_hash
from relay.settings import Settings
from relay.wire.jsontext import JsonValue
from tests.support.ledger import LAG_MS, STEP_MS, TEXTS, WHOLE, Play
from tests.support.node import LINGZHU, META, NOW, World

GOOD = {
    "status": "completed",
    "outcome": "completed",
    "loss_position": None,
    "loss_hop": None,
    "anomaly": None,
}


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_clean_stream(world: World, protocol: int) -> None:
    """Every chunk sent, acknowledged and delivered; nothing to complain about."""
    play = await Play.begin(world, protocol)
    await play.send(*range(8))
    await play.end(End(8 if protocol == 2 else None))
    if protocol == 1:
        await play.bot.say(play.stream_id, Summary(WHOLE, 8, content_hash(WHOLE)))
    await play.read()
    assert await play.row() == play.ledger.row(protocol=protocol, **GOOD)


async def test_a_lost_tail_without_a_summary(world: World) -> None:
    """The bot says that there were 8; two never came."""
    play = await Play.begin(world)
    await play.send(*range(6))
    await play.end(End(8))
    await world.advance(2.0)
    await play.reader.read_all()
    play.ledger.missing = [6, 7]
    assert await play.row() == play.ledger.row(
        protocol=2,
        status="anomaly",
        outcome="incomplete",
        loss_position="tail",
        loss_hop="bot_to_relay",
        anomaly={"type": "chunk_loss", "never_arrived": [[6, 7]], "total_is_known": True},
    )


async def test_a_lost_tail_with_a_true_summary(world: World) -> None:
    """The text is whole; the trace still says what was missing, and how it was repaired."""
    play = await Play.begin(world, protocol=1)
    await play.send(*range(6))
    await play.end(End())
    await play.bot.say(play.stream_id, Summary(WHOLE, 8, content_hash(WHOLE)))
    assert await play.reader.read_all() == WHOLE
    play.ledger.missing = [6, 7]
    assert await play.row() == play.ledger.row(
        protocol=1,
        status="anomaly",
        outcome="repaired",
        sse_content=WHOLE,
        loss_position="tail",
        loss_hop="bot_to_relay",
        repaired_by="summary",
        anomaly={"type": "chunk_loss", "never_arrived": [[6, 7]], "total_is_known": True},
    )


async def test_a_loss_in_the_middle(world: World) -> None:
    """A legacy bot cannot resend: what was held is delivered when the barrier is over."""
    play = await Play.begin(world, protocol=1)
    await play.send(0, 1, 2)
    await play.send(4, 5, 6, 7, read=False)
    await play.end(End())
    await world.advance(2.0)
    held_until = play.now
    await play.read()
    play.ledger.missing = [3]
    assert set(play.ledger.delivered.values()) == {
        *(n * STEP_MS + LAG_MS for n in (1, 2, 3)),
        held_until,
    }
    row = await play.row()
    held = [held_until - at for sequence, at in play.ledger.sent.items() if sequence > 3]
    assert row == play.ledger.row(
        protocol=1,
        status="anomaly",
        outcome="incomplete",
        loss_position="middle",
        loss_hop="bot_to_relay",
        delivery_delay_p50=min(held),
        delivery_delay_p99=pytest.approx(max(held), rel=0.01),
        anomaly={"type": "chunk_loss", "never_arrived": [[3, 3]], "total_is_known": False},
    )


async def test_a_device_that_hung_up_before_the_tail(world: World) -> None:
    """All chunks arrived from the bot, and three never reached the device: that hop is named."""
    play = await Play.begin(world, protocol=1, device=LINGZHU)
    await play.send(*range(5))
    play.reader.subscription.close()
    await play.send(5, 6, 7, read=False)
    await play.end(End())
    await world.advance(3.0)
    play.ledger.missing = [5, 6, 7]
    assert await play.row() == play.ledger.row(
        protocol=1,
        status="anomaly",
        outcome="completed",
        loss_position="mixed",
        loss_hop="relay_to_device",
        anomaly={"type": "delivery_loss", "never_delivered": [[5, 7]], "total_is_known": False},
    )


async def test_a_loss_on_both_hops(world: World) -> None:
    """One never came, and the last ones were never handed over."""
    play = await Play.begin(world, protocol=1, device=LINGZHU)
    await play.send(1, read=False)
    await play.send(0)
    await play.send(2, 3)
    play.reader.subscription.close()
    await play.send(5, 6, 7, read=False)
    await play.end(End())
    await world.advance(5.0)
    row = await world.row(play.stream_id)
    assert row.missing_sequences == [4, 5, 6, 7]
    assert (row.loss_hop, row.loss_position, row.status) == ("both", "mixed", "anomaly")
    assert row.anomaly == {
        "type": "chunk_loss",
        "never_arrived": [[4, 4]],
        "never_delivered": [[5, 7]],
        "total_is_known": False,
    }


async def test_a_chunk_that_comes_too_late_amends_the_row(world: World) -> None:
    """Recorded as late, not shown, and still missing: the device did not get it."""
    play = await Play.begin(world)
    await play.send(*range(7))
    await play.end(End(8))
    await world.advance(2.0)
    await play.reader.read_all()
    before = await world.row(play.stream_id)
    assert before.anomaly == {
        "type": "chunk_loss",
        "never_arrived": [[7, 7]],
        "total_is_known": True,
    }
    await play.bot.say(play.stream_id, Chunk(TEXTS[7], 7))
    assert play.bot.acks[-1] == 7
    after = await world.row(play.stream_id)
    assert after.trace_id == before.trace_id
    assert (after.sdk_chunk_count, after.sse_chunk_count) == (8, 7)
    assert (after.missing_sequences, after.status) == ([7], "anomaly")
    assert after.anomaly == {
        "type": "chunk_loss",
        "never_arrived": [[7, 7]],
        "arrived_late": [[7, 7]],
        "total_is_known": True,
    }


async def test_what_is_learned_before_the_row_is_written_is_in_it(world: World) -> None:
    """A chunk comes too late while the device still reads: one row, with all of it."""
    play = await Play.begin(world)
    await play.send(*range(7))
    await play.end(End(8))
    await world.advance(2.0)
    await play.bot.say(play.stream_id, Chunk(TEXTS[7], 7))
    assert await world.rows() == {}
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert world.store.batches == [1]
    assert isinstance(row.anomaly, dict)
    assert row.anomaly["arrived_late"] == [[7, 7]]


async def test_a_chunk_that_was_refused_and_never_came_again_is_named() -> None:
    """A legacy bot sent one that does not fit; its numbers alone would not show that."""
    world = World(settings=Settings(stream_bytes_max=1024))
    play = await Play.begin(world, protocol=1)
    await play.send(0, 1)
    await play.bot.say(play.stream_id, Chunk("x" * 2000, 2))
    await play.bot.say(play.stream_id, End())
    await world.advance(2.0)
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert row.status == "anomaly"
    assert isinstance(row.anomaly, dict)
    assert row.anomaly["chunks_refused"] == 1


async def test_a_summary_that_disagrees_is_an_anomaly(world: World) -> None:
    """Nothing of it is shown, and the row says in what it disagrees."""
    play = await Play.begin(world, protocol=1)
    await play.send(*range(8))
    await play.end(End())
    await play.bot.say(play.stream_id, Summary("invented", 8, content_hash("invented")))
    await world.advance(2.0)
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert (row.sse_content, row.status, row.missing_sequences) == (WHOLE, "anomaly", [])
    assert isinstance(row.anomaly, dict)
    assert row.anomaly["type"] == "summary_disagrees"
    assert row.anomaly["summary_disagrees_in"]


async def test_a_failure_is_told_in_the_bots_own_words(world: World) -> None:
    """To operators only: the detail is in no frame of the device."""
    play = await Play.begin(world)
    await play.send(0)
    await play.bot.say(play.stream_id, Abort("key abc123 is wrong"))
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert row.anomaly == {
        "type": "failed",
        "detail": "key abc123 is wrong",
        "total_is_known": False,
    }
    assert b"abc123" not in play.reader.data


async def test_overlapping_streams_are_timed_by_their_own_chunks(world: World) -> None:
    """The bot's numbers are not the stream's: an ACK's time belongs to the chunk it was for."""
    play = await Play.begin(world, protocol=1)
    other = (await world.ask("other")).stream_id
    for number in range(6):
        await world.advance(STEP_MS / 1000)
        stream = play.stream_id if number % 2 else other
        await play.bot.say(stream, Chunk("x", number))
    await play.bot.say(play.stream_id, End())
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert row.timeline == [
        [sequence, at, at, play.now, 1]
        for sequence, at in enumerate((2 * STEP_MS, 4 * STEP_MS, 6 * STEP_MS))
    ]
    assert (row.ack_delay_p50, row.ack_delay_p99) == (0.0, 0.0)


async def test_chunks_without_numbers_are_timed_too(world: World) -> None:
    """2.3.7 sends none; the stream numbers them by arrival."""
    play = await Play.begin(world, protocol=1)
    for _ in range(2):
        await world.advance(STEP_MS / 1000)
        await play.bot.say(play.stream_id, Chunk("x"))
    await play.bot.say(play.stream_id, End())
    await world.advance(0.15)
    await play.reader.read_all()
    acked = [point[2] for point in _points(await world.row(play.stream_id))]
    assert acked == [STEP_MS, 2 * STEP_MS]


def _points(row: TraceRow) -> list[list[JsonValue]]:
    return [point for point in row.timeline if isinstance(point, list)]


async def test_events_tell_the_life_of_a_stream(world: World) -> None:
    """In order, with the wire's times, and none per chunk."""
    play = await Play.begin(world)
    await play.send(*range(8))
    await play.end(End(8))
    await play.read()
    row = await world.row(play.stream_id)
    assert row.events == [
        {
            "type": "request_received",
            "data": {"message_id": "c"},
            "timestamp": "2026-02-27T10:00:00+08:00",
            "ms": 0.0,
        },
        {
            "type": "command_sent",
            "data": {"bot_id": 1},
            "timestamp": "2026-02-27T10:00:00+08:00",
            "ms": 0.0,
        },
        {
            "type": "end_received",
            "data": {"total_is_known": True},
            "timestamp": "2026-02-27T10:00:01+08:00",
            "ms": 9 * STEP_MS + LAG_MS,
        },
        {
            "type": "stream_end",
            "data": {"outcome": "completed"},
            "timestamp": "2026-02-27T10:00:01+08:00",
            "ms": 9 * STEP_MS + LAG_MS,
        },
    ]


async def test_events_tell_how_long_the_end_was_held(world: World) -> None:
    """The bot's end, the mark in place of what was given up, and the end that the device saw."""
    play = await Play.begin(world)
    await play.send(0, 1)
    await play.send(3, read=False)
    await play.end(End(4))
    await world.advance(2.0)
    await play.reader.read_all()
    events = [
        event for event in (await world.row(play.stream_id)).events if isinstance(event, dict)
    ]
    end, gap, closed = events[-3:]
    assert (end["type"], gap["type"], closed["type"]) == ("end_received", "gap_shown", "stream_end")
    assert gap["data"] == {"sequence": 2}
    assert gap["ms"] == closed["ms"] == pytest.approx(float(str(end["ms"])) + 2000.0)


async def test_events_tell_of_a_repair(world: World) -> None:
    """When it was shown, and how long its text is."""
    play = await Play.begin(world, protocol=1)
    await play.send(*range(6))
    await play.end(End())
    await play.bot.say(play.stream_id, Summary(WHOLE, 8, content_hash(WHOLE)))
    await play.reader.read_all()
    events = [
        event for event in (await world.row(play.stream_id)).events if isinstance(event, dict)
    ]
    (repaired,) = [event for event in events if event["type"] == "repaired"]
    assert repaired["data"] == {"length": len("".join(TEXTS[6:]))}


async def test_a_stream_without_chunks_has_nothing_to_measure(world: World) -> None:
    """Delays that do not exist are null and not zero."""
    stream = (await world.ask(bot_id=None)).stream_id
    await (await world.read(stream)).read_all()
    row = await world.row(stream)
    assert row.first_chunk_delay is None
    assert row.avg_chunk_interval is None
    assert row.last_chunk_delay is None
    assert (row.ack_delay_p50, row.delivery_delay_p99, row.timeline) == (None, None, [])


async def test_a_single_chunk_is_its_own_percentile(world: World) -> None:
    """There is nothing to interpolate between."""
    play = await Play.begin(world)
    await play.send(0)
    await play.bot.say(play.stream_id, Abort("x"))
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert row.delivery_delay_p50 == row.delivery_delay_p99 == LAG_MS
    assert row.avg_chunk_interval is None


async def test_content_is_kept_only_where_the_settings_say_so() -> None:
    """Counts and times stay; not a character of the answer does."""
    world = World(settings=Settings(trace_content="none"))
    play = await Play.begin(world)
    await play.send(*range(8))
    await play.end(End(8))
    await play.read()
    row = await world.row(play.stream_id)
    assert (row.sdk_content, row.sse_content) == ("", "")
    assert (row.sdk_chunk_count, row.sse_chunk_count) == (8, 8)


async def test_so_many_missing_sequences_are_listed(world: World) -> None:
    """A bot that claims a million chunks does not make a row of a million numbers."""
    play = await Play.begin(world)
    await play.end(End(1_000_000))
    await world.advance(2.0)
    await play.reader.read_all()
    row = await world.row(play.stream_id)
    assert row.missing_sequences == list(range(MISSING_MAX))
    assert row.sdk_total_chunks == 1_000_000
    assert isinstance(row.anomaly, dict)
    assert row.anomaly["never_arrived"] == [[0, 999_999]]


def test_a_record_is_recalled_from_its_notes() -> None:
    """What the next owner's row tells of the time before."""
    record = StreamRecord(META)
    record.protocol, record.sdk, record.handed, record.bot_key = 2, "name/1", True, "key"
    record.note("command_sent", NOW + 1.0, bot_id=1)
    notes = {BOT: record.bot_note(), EVENTS: record.events_note()}
    assert StreamRecord.recall(META, notes) == record
    assert StreamRecord.recall(META, {}) == StreamRecord(META)
