"""The admin API of a real relay, with real streams through it."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.operators import operator
from tests.support.server import RelayServer

CHUNKS = [f"piece {number} " for number in range(60)]
LOST = (57, 58, 59)

Object = dict[str, object]


async def lose_the_tail(relay: RelayServer) -> str:
    """Ask once; the bot's last three chunks are lost. Returns the stream's id."""
    async with raw_bot(relay) as bot:
        glasses = Glasses(relay.url, relay.key)
        async with glasses.ask(question(relay.bot().user_id)) as answer:
            stream_id = stream_of(await bot.command())
            await bot.chunks(stream_id, CHUNKS, lost=LOST)
            await bot.end(stream_id, CHUNKS)
            await answer.read()
    await asyncio.to_thread(relay.trace, stream_id)
    return stream_id


async def test_an_operator_finds_what_was_lost(own_relay: RelayServer) -> None:
    """By user and status, then which chunks are missing, and on which hop."""
    own_relay.settings["RELAY_BARRIER_SECONDS"] = "0.2"
    own_relay.start()
    stream_id = await lose_the_tail(own_relay)
    async with operator(own_relay) as api:
        user = own_relay.bot().user_id
        page = (await api.get("/traces", params={"user_id": user, "status": "anomaly"})).json()
        (found,) = page["traces"]
        trace = (await api.get(f"/traces/{found['trace_id']}")).json()
        table = await api.get(
            "/traces/export", params={"format": "csv", "loss_hop": "bot_to_relay"}
        )
        told = (await api.get("/statistics")).json()
        deleted = await api.delete("/traces", params={"user_id": user})
        gone = await api.get(f"/traces/{stream_id}")
    assert (found["stream_id"], found["missing_count"]) == (stream_id, 3)
    assert (found["sdk_chunk_count"], found["sdk_total_chunks"]) == (57, 60)
    assert (found["loss_hop"], found["loss_position"]) == ("bot_to_relay", "tail")
    assert trace["missing_sequences"] == list(LOST)
    assert len(trace["timeline"]) == 57
    assert all(point["delivered_ms"] is not None for point in trace["timeline"])
    assert "57..59" in table.text
    assert (told["streams"], told["lossy"], told["missing"]) == (1, 1, 3)
    assert (deleted.json(), gone.status_code) == ({"deleted": 1}, 404)


async def test_the_feed_shows_a_stream_from_its_beginning_to_its_end(
    own_relay: RelayServer,
) -> None:
    """It opens, changes and closes before the eyes of who watches; a drain ends the feed."""
    own_relay.settings |= {"RELAY_BARRIER_SECONDS": "0.2", "RELAY_DRAIN_SECONDS": "3"}
    own_relay.start()
    seen: list[tuple[str, Object]] = []
    watching = asyncio.Event()
    async with operator(own_relay) as api:
        watcher = asyncio.create_task(_watch(api, seen, watching))
        await asyncio.wait_for(watching.wait(), 10)
        async with raw_bot(own_relay) as bot:
            glasses = Glasses(own_relay.url, own_relay.key)
            async with glasses.ask(question(own_relay.bot().user_id)) as answer:
                stream_id = stream_of(await bot.command())
                await _until(seen, "opened", stream_id)
                await bot.chunks(stream_id, CHUNKS)
                await _until(seen, "changed", stream_id)
                listed = (await api.get("/live")).json()
                await bot.end(stream_id, CHUNKS)
                await answer.read()
        await _until(seen, "closed", stream_id)
        started = time.monotonic()
        assert await asyncio.to_thread(own_relay.terminate) == 0
        await asyncio.wait_for(watcher, 10)
    assert time.monotonic() - started < 8
    assert [stream["stream_id"] for stream in listed["streams"]] == [stream_id]
    assert listed["streams"][0]["received"] == len(CHUNKS)
    assert listed["online_bots"] == [own_relay.bot().bot_id]


async def _watch(
    api: httpx.AsyncClient, seen: list[tuple[str, Object]], watching: asyncio.Event
) -> None:
    async with api.stream("GET", "/live/events", timeout=30) as response:
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                seen.append((name, json.loads(line.removeprefix("data: "))))
                watching.set()


async def _until(seen: list[tuple[str, Object]], name: str, stream_id: str) -> None:
    async with asyncio.timeout(10):
        while not any(  # noqa: ASYNC110 - the other process sets no event of ours
            event == name and value.get("stream_id") == stream_id for event, value in seen
        ):
            await asyncio.sleep(0.02)


async def test_a_key_that_is_made_and_revoked_is_so_at_once(own_relay: RelayServer) -> None:
    """And its secret is in no later answer, and in no log."""
    own_relay.start()
    async with operator(own_relay) as api:
        made = (await api.post("/keys", json={"name": "new"})).json()
        own_relay.secrets.append(made["secret"])
        glasses = Glasses(own_relay.url, made["secret"])
        offline = await glasses.ask_and_read(question(own_relay.bot().user_id))
        await api.post(f"/keys/{made['record']['key_id']}/revoke")
        refused = await glasses.ask_and_read(question(own_relay.bot().user_id))
        listed = await api.get("/keys")
    assert offline.headers.get("relay-error") != "unauthorized"
    assert refused.headers.get("relay-error") == "unauthorized"
    assert made["secret"] not in listed.text
    assert own_relay.complaints() == []


@pytest.mark.parametrize("path", ["/traces", "/openapi.json", "", "/nothing"])
async def test_nobody_is_admitted_with_another_credential(relay: RelayServer, path: str) -> None:
    """An access key and a bot's token open other doors."""
    async with httpx.AsyncClient(base_url=f"{relay.url}/admin/api", trust_env=False) as api:
        for credential in (relay.key, relay.bot().token):
            headers = {"Authorization": f"Bearer {credential}"}
            assert (await api.get(path, headers=headers)).status_code == 401
