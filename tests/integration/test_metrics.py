"""`GET /metrics` of a real relay, equal to what the test did with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.server import RelayServer

CHUNKS = [f"piece {number} " for number in range(12)]
Figures = dict[str, float]


async def scrape(relay: RelayServer) -> Figures:
    """One look, without a key: every sample that is not zero, as `name label=value`."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    return {
        " ".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))]): (
            sample.value
        )
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.value
    }


async def figures(relay: RelayServer, until: Callable[[Figures], bool]) -> Figures:
    """Look until it is so: a device has its last byte before the relay has noted it."""
    async with asyncio.timeout(10):
        while True:
            found = await scrape(relay)
            if until(found):
                return found
            await asyncio.sleep(0.02)


async def test_the_figures_are_what_happened(own_relay: RelayServer) -> None:
    """One stream sent again where asked, one that loses its tail, and a bot that is not there."""
    own_relay.settings["RELAY_BARRIER_SECONDS"] = "0.3"
    own_relay.start()
    glasses = Glasses(own_relay.url, own_relay.key)
    user = own_relay.bot().user_id
    async with raw_bot(own_relay) as bot:
        async with glasses.ask(question(user)) as answer:
            stream_id = stream_of(await bot.command())
            await bot.chunk(stream_id, 1, CHUNKS[1])
            during = await figures(own_relay, lambda found: "relay_chunks_held" in found)
            await bot.cable.wait_message("missing", session_id=stream_id)
            await bot.chunk(stream_id, 0, CHUNKS[0])
            for number in (1, *range(2, 12)):
                await bot.chunk(stream_id, number, CHUNKS[number])
            await bot.chunk(stream_id, "five", "no number")
            await bot.end(stream_id, CHUNKS)
            await answer.read()
        async with glasses.ask(question(user)) as answer:
            stream_id = stream_of(await bot.command(1))
            await bot.chunks(stream_id, CHUNKS, lost=(10, 11))
            await bot.end(stream_id, CHUNKS)
            await answer.read()
        await glasses.ask_and_read(question(own_relay.bot(1).user_id))
    after = await figures(own_relay, lambda found: settled(found) == 3)
    gauges = ("relay_open_streams", "relay_device_streams", "relay_bot_connections")
    assert {name: during.get(name) for name in gauges} == dict.fromkeys(gauges, 1)
    assert during["relay_chunks_held"] == 1
    assert {
        name: value
        for name, value in after.items()
        if name.partition(" ")[0].endswith(("_total", "_count"))
        and name not in ("process_cpu_seconds_total", "relay_event_loop_lag_seconds_count")
    } == {
        "relay_streams_total outcome=completed": 1,
        "relay_streams_total outcome=incomplete": 1,
        "relay_streams_total outcome=bot_offline": 1,
        "relay_chunks_accepted_total": 12 + 10,
        "relay_chunks_delivered_total": 12 + 10,
        "relay_chunks_duplicate_total": 1,
        "relay_chunks_missing_total hop=bot_to_relay position=tail": 2,
        "relay_repairs_total by=retransmit": 1,
        "relay_refusals_total code=invalid_sequence": 1,
        "relay_ack_seconds_count": 12 + 10,
        "relay_delivery_seconds_count": 12 + 10,
        "relay_first_chunk_seconds_count": 2,
    }
    assert not [name for name in gauges if name in after]


async def test_the_process_is_told_of(relay: RelayServer) -> None:
    """What it costs, which version it is, and that its loop is measured."""
    found = await figures(relay, lambda found: "relay_event_loop_lag_seconds_count" in found)
    assert found["process_resident_memory_bytes"] > 20e6
    assert found["process_open_fds"] > 5
    assert found["process_cpu_seconds_total"] > 0
    (build,) = [name for name in found if name.startswith("relay_build_info ")]
    assert f"version={version('relay-stream')}" in build


def settled(found: Figures) -> float:
    """How many streams are counted, once everybody is gone."""
    if "relay_device_streams" in found or "relay_bot_connections" in found:
        return 0
    return sum(value for name, value in found.items() if name.startswith("relay_streams_total"))
