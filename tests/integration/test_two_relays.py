"""Two relays that share Redis: a bot on one, a device on the other, and one of them dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from relay_sdk import ReplyOutcome
from tests.integration.test_relay_killed import CHUNKS, HALF, Halting, read, trigger
from tests.integration.test_relay_on_redis import Texts
from tests.support.bots import V2_3_12, legacy_bot
from tests.support.redis import RedisServer, own_redis
from tests.support.server import RelayServer, Seed, running
from tests.support.wire import Wire

__all__ = ["own_redis"]

pytestmark = pytest.mark.needs("redis-server")

SECRET = "one-for-both-" + "0" * 32


@pytest.fixture
def relays(seed: Seed, tmp_path: Path, own_redis: RedisServer) -> Iterator[list[RelayServer]]:
    """Two relays on one Redis; their databases hold the same bots and keys."""
    with ExitStack() as stack:
        given = {"broker_url": own_redis.url, "secret": SECRET}
        yield [stack.enter_context(running(seed, tmp_path / name, **given)) for name in ("a", "b")]


async def test_a_bot_and_its_device_may_be_on_two_relays(relays: list[RelayServer]) -> None:
    """The question goes to the one, the answer comes by the other."""
    bots, devices = relays
    texts = Texts()
    async with httpx.AsyncClient(base_url=devices.url, trust_env=False, timeout=30) as http:
        halting = Halting(bots.url, bots.bot().token)
        halting.go_on.set()
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(devices, http)
            async for place, data in read(http, url, ""):
                texts.take(place, data)
            assert await halting.outcome == ReplyOutcome("completed", len(CHUNKS), ())
    assert texts.whole == "".join(CHUNKS)
    row = bots.trace(url.split("/")[2])
    assert (row["status"], row["missing_sequences"]) == ("completed", [])


async def test_a_relay_dies_and_its_bot_goes_on_at_another(relays: list[RelayServer]) -> None:
    """The device's connection stays, and it reads every character once."""
    bots, devices = relays
    texts = Texts()
    async with (
        Wire(bots.port, "http") as wire,
        httpx.AsyncClient(base_url=devices.url, trust_env=False, timeout=30) as http,
    ):
        halting = Halting(wire.url, bots.bot().token)
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(devices, http)
            await halting.half.wait()
            async for place, data in read(http, url, ""):
                texts.take(place, data)
                if len(texts.by_sequence) == HALF and not halting.go_on.is_set():
                    wire.target = devices.port
                    bots.kill()
                    halting.go_on.set()
            assert await halting.outcome == ReplyOutcome("completed", len(CHUNKS), ())
    assert texts.whole == "".join(CHUNKS)
    row = devices.trace(url.split("/")[2])
    assert (row["status"], row["missing_sequences"]) == ("completed", [])


async def test_what_a_legacy_bot_had_said_is_known_at_another_relay(
    relays: list[RelayServer],
) -> None:
    """Its summary came first, a chunk was lost, and its relay died: the next one repairs."""
    bots, devices = relays
    shown: list[str] = []
    async with httpx.AsyncClient(base_url=devices.url, trust_env=False, timeout=30) as http:
        async with legacy_bot(bots, V2_3_12) as bot:
            url = await trigger(devices, http)
            ledger = await bot.begin(await bot.command())
            pieces = [bot.number(ledger, content) for content in ("one ", "two ", "three")]
            for sequence in (0, 2):
                await bot.put(ledger, pieces[sequence], sequence)
            await bot.summarise(ledger)
            await bot.until_silent()
            bots.kill()
        async with legacy_bot(devices, V2_3_12) as bot:
            await bot.say({"type": "stream_end", "session_id": ledger.stream_id})
            async for _, data in read(http, url, ""):
                shown.append(data.get("content", ""))
        assert bot.cable.messages("execute_command") == []
    assert "".join(shown) == "one two three"
    row = devices.trace(url.split("/")[2])
    assert (row["outcome"], row["missing_sequences"]) == ("repaired", [1])
    types = [event["type"] for event in row["events"]]
    assert types.count("command_sent") == 1
    assert types.count("taken_over") == 2
