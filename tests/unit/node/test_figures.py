"""What the metrics are told, equal to what the test did."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.protocol.events import Chunk, End, Summary
from relay.protocol.texthash import content_hash
from relay.settings import Settings
from tests.support.ledger import LAG_MS, TEXTS, WHOLE, Play
from tests.support.node import LINGZHU, World, settle_down


async def told(world: World, *endings: str) -> dict[str, float]:
    """Every sample above zero whose name ends so, as `name label=value`."""
    await settle_down()
    text = world.node.metrics.render().decode()
    return {
        " ".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.value and sample.name.endswith(endings)
    }


async def test_a_clean_stream_is_counted_with_its_times(world: World) -> None:
    """8 in, 8 out; the first after a step, each delivered a little after it came."""
    play = await Play.begin(world)
    await play.send(*range(8))
    await play.bot.say(play.stream_id, Chunk(TEXTS[0], 0))
    await play.end(End(8))
    assert await told(world, "_total") == {}, "it is not read to the end yet"
    await play.read()
    assert await told(world, "_total", "_count", "_seconds_sum") == {
        "relay_streams_total outcome=completed": 1,
        "relay_chunks_accepted_total": 8,
        "relay_chunks_delivered_total": 8,
        "relay_chunks_duplicate_total": 1,
        "relay_ack_seconds_count": 8,
        "relay_delivery_seconds_count": 8,
        "relay_delivery_seconds_sum": 8 * LAG_MS / 1000,
        "relay_first_chunk_seconds_count": 1,
        "relay_first_chunk_seconds_sum": play.ledger.sent[0] / 1000,
    }


async def test_a_loss_is_counted_on_its_hop(world: World) -> None:
    """One never came, in the middle; the last three never reached the device, in the tail."""
    play = await Play.begin(world, protocol=1, device=LINGZHU)
    await play.send(*range(3))
    await play.send(4, read=False)
    play.reader.subscription.close()
    await play.send(5, 6, 7, read=False)
    await play.end(End())
    await world.advance(5.0)
    assert await told(world, "_missing_total", "_accepted_total", "_delivered_total") == {
        "relay_chunks_accepted_total": 7,
        "relay_chunks_delivered_total": 3,
        "relay_chunks_missing_total hop=bot_to_relay position=middle": 1,
        "relay_chunks_missing_total hop=relay_to_device position=mixed": 4,
    }


async def test_a_repair_is_counted_beside_what_was_missing(world: World) -> None:
    """A true summary supplies the text of two lost chunks; they are missing all the same."""
    play = await Play.begin(world, protocol=1)
    await play.send(*range(6))
    await play.end(End())
    await play.bot.say(play.stream_id, Summary(WHOLE, 8, content_hash(WHOLE)))
    await play.reader.read_all()
    counted = await told(world, "_streams_total", "_missing_total", "_repairs_total")
    assert counted == {
        "relay_streams_total outcome=repaired": 1,
        "relay_chunks_missing_total hop=bot_to_relay position=tail": 2,
        "relay_repairs_total by=summary": 1,
    }


async def test_a_late_chunk_does_not_count_its_stream_again(world: World) -> None:
    """The trace row is corrected; the counters stay."""
    play = await Play.begin(world, protocol=1)
    await play.send(*range(7))
    await play.end(End(8))
    await world.advance(2.0)
    await play.reader.read_all()
    before = await told(world, "_total")
    await play.bot.say(play.stream_id, Chunk(TEXTS[7], 7))
    row = await world.row(play.stream_id)
    assert row.sdk_chunk_count == 8
    assert before["relay_streams_total outcome=incomplete"] == 1
    assert await told(world, "_total") == before


@pytest.mark.parametrize(("bot_id", "outcome"), [(1, "bot_offline"), (None, "unbound")])
async def test_an_answer_that_nobody_gave_is_counted(
    world: World, bot_id: int | None, outcome: str
) -> None:
    """It has an outcome and nothing else."""
    view = await world.ask(bot_id=bot_id)
    await (await world.read(view.stream_id)).read_all()
    assert await told(world, "_total", "_count") == {f"relay_streams_total outcome={outcome}": 1}


async def test_figures_do_not_wait_for_the_trace_store(world: World) -> None:
    """The tracer is not even running: the row waits, and the stream is counted."""
    play = await Play.begin(world)
    await play.send(0)
    await play.end(End(1))
    await play.read()
    assert await told(world, "_accepted_total", "_backlog") == {
        "relay_chunks_accepted_total": 1,
        "relay_trace_backlog": 1,
    }


async def test_a_stream_whose_log_is_gone_is_counted() -> None:
    """What only the log knew is left out; the outcome is not."""
    world = World()
    play = await Play.begin(world)
    await play.send(0)
    await play.end(End(1))
    await play.read()
    world.log.drop(play.stream_id)
    assert await told(world, "_streams_total", "_delivered_total") == {
        "relay_streams_total outcome=completed": 1
    }


async def test_refusals_are_counted_by_their_codes(world: World) -> None:
    """A chunk that contradicts a stored one, and one of a stream that is not there."""
    play = await Play.begin(world)
    await play.send(0)
    await play.bot.say(play.stream_id, Chunk("another", 0))
    await play.bot.say("nowhere", Chunk("x", 0))
    assert await told(world, "_refusals_total") == {
        "relay_refusals_total code=conflict": 1,
        "relay_refusals_total code=unknown_stream": 1,
    }


async def test_what_is_open_is_told_while_it_is_open() -> None:
    """One bot, one reader, one early chunk; nothing of it is left once the stream has expired."""
    world = World(settings=Settings(retention_seconds=10.0))
    play = await Play.begin(world)
    await play.bot.say(play.stream_id, Chunk(TEXTS[1], 1))
    names = ["_streams", "_kept", "_held", "_connections", "_log_bytes", "_backlog", "_timers"]
    names.append("_logs_in_memory")
    during = await told(world, *names)
    assert during.pop("relay_log_bytes") >= len(TEXTS[1].encode())
    assert during.pop("relay_timers") >= 1
    assert during == {
        "relay_open_streams": 1,
        "relay_streams_kept": 1,
        "relay_chunks_held": 1,
        "relay_device_streams": 1,
        "relay_bot_connections": 1,
        "relay_logs_in_memory": 1,
    }
    await play.bot.say(play.stream_id, Chunk(TEXTS[0], 0))
    await play.end(End(2))
    await play.reader.read_all()
    ended = await told(world, *names)
    assert ended.keys() == {
        "relay_streams_kept",
        "relay_timers",
        "relay_device_streams",
        "relay_bot_connections",
        "relay_log_bytes",
        "relay_trace_backlog",
        "relay_logs_in_memory",
    }
    play.reader.subscription.close()
    play.bot.link.detach()
    await world.rows()
    await world.advance(11.0)
    assert (await told(world, *names)).keys() <= {"relay_timers"}, "a stale one until it is due"
    await world.advance(60.0)
    assert await told(world, *names) == {}


async def test_the_tasks_of_the_loop_are_counted(world: World) -> None:
    """One more while one more runs, by what it is at."""
    before = await told(world, "relay_tasks")
    more = asyncio.create_task(asyncio.Event().wait())
    name = "relay_tasks work=Event.wait"
    assert await told(world, "relay_tasks") == {**before, name: before.get(name, 0) + 1}
    more.cancel()
