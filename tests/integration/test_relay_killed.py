"""The relay is killed with SIGKILL in mid-stream; with the memory broker its logs go with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from relay_sdk import Bot, Command, ConnectionTimes, ReplyOutcome
from tests.support.incident import load_incident
from tests.support.server import RelayServer, Seed, running

QUICK = ConnectionTimes(first_delay_s=0.02, close_timeout_s=0.5)
CHUNKS = load_incident()[1].chunks
HALF = 30


@pytest.fixture
def mortal(seed: Seed, tmp_path: Path) -> Iterator[RelayServer]:
    """A relay of this test's own, which it may kill."""
    with running(seed, tmp_path / "mortal") as server:
        yield server


class Halting:
    """A bot that stops in the middle of its answer until it is told to go on."""

    def __init__(self, url: str, token: str) -> None:
        self.bot = Bot(url, token, times=QUICK)
        self.half = asyncio.Event()
        self.go_on = asyncio.Event()
        self.outcome: asyncio.Future[ReplyOutcome] = asyncio.get_running_loop().create_future()
        self.bot.on_command(self._answer)

    async def _answer(self, command: Command) -> None:
        async with self.bot.reply(command) as reply:
            for piece in CHUNKS[:HALF]:
                await reply.write(piece)
            self.half.set()
            await self.go_on.wait()
            for piece in CHUNKS[HALF:]:
                await reply.write(piece)
        self.outcome.set_result(await reply.closed())


async def trigger(relay: RelayServer, http: httpx.AsyncClient) -> str:
    """Ask the bot; returns where the events are, with the ticket that goes with them."""
    body = {
        "message_id": "1",
        "agent_id": "a",
        "user_id": relay.bot().user_id,
        "message": [{"role": "user", "type": "text", "text": "go"}],
    }
    headers = {"Authorization": f"Bearer {relay.key}"}
    answer = await http.post("/api/rokid/trigger", json=body, headers=headers)
    url: str = answer.json()["events_url"]
    relay.secrets.append(url.partition("ticket=")[2])
    return url


async def read(http: httpx.AsyncClient, url: str, last: str) -> AsyncIterator[tuple[str, Any]]:
    """Read events behind `last` as `(id, object)`, until the stream or the connection ends."""
    async with aconnect_sse(http, "GET", url, headers={"Last-Event-ID": last}) as source:
        source.response.raise_for_status()
        async for event in source.aiter_sse():
            yield event.id, json.loads(event.data)


async def test_a_device_that_resumes_reads_every_character_once(mortal: RelayServer) -> None:
    """The bot sends everything again, the device is told so, and leaves out what it had."""
    texts: dict[int, str] = {}
    last, resets, repeated = "", 0, 0
    async with httpx.AsyncClient(base_url=mortal.url, trust_env=False, timeout=20) as http:
        halting = Halting(mortal.url, mortal.bot().token)
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(mortal, http)
            await halting.half.wait()
            async for place, data in read(http, url, ""):
                last = place
                texts[data["sequence"]] = data["content"]
                if len(texts) == HALF:
                    break
            mortal.kill()
            mortal.start()
            halting.go_on.set()
            async for _, data in read(http, url, last):
                resets += data["type"] == "stream_reset"
                if data["type"] == "stream_chunk":
                    repeated += data["sequence"] in texts
                    texts.setdefault(data["sequence"], data["content"])
            assert await halting.outcome == ReplyOutcome("completed", len(CHUNKS), ())
    assert "".join(texts[sequence] for sequence in sorted(texts)) == "".join(CHUNKS)
    assert (resets, repeated) == (1, HALF)
    stream_id = url.split("/")[2]
    row = mortal.trace(stream_id)
    assert (row["status"], row["sdk_total_chunks"]) == ("completed", len(CHUNKS))
    assert "reopened" in [event["type"] for event in row["events"]]


async def test_a_bot_that_ends_while_the_relay_is_down_still_delivers(mortal: RelayServer) -> None:
    """It keeps every chunk until the outcome is known, so the whole answer is sent again."""
    async with httpx.AsyncClient(base_url=mortal.url, trust_env=False, timeout=20) as http:
        halting = Halting(mortal.url, mortal.bot().token)
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(mortal, http)
            await halting.half.wait()
            mortal.kill()
            halting.go_on.set()
            mortal.start()
            pieces = [d["content"] async for _, d in read(http, url, "gone.0") if "content" in d]
            assert (await halting.outcome).outcome == "completed"
    assert pieces == list(CHUNKS)
