"""Redis loses all that it has while its relays live, and the SDK's bot has every chunk."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from relay_sdk import ReplyOutcome
from tests.integration.test_relay_killed import CHUNKS, HALF, Halting, read, trigger
from tests.support.redis import RedisServer, own_redis
from tests.support.server import RelayServer, Seed, running

__all__ = ["own_redis"]

pytestmark = pytest.mark.needs("redis-server")


async def answered(
    bots: RelayServer, devices: RelayServer, redis: RedisServer, *, bot_is_first: bool
) -> str:
    """Empty Redis in mid-answer; returns the stream once its device has shown all of it once."""
    texts: dict[int, str] = {}
    last, resets = "", 0
    async with httpx.AsyncClient(base_url=devices.url, trust_env=False, timeout=30) as http:
        halting = Halting(bots.url, bots.bot().token)
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(devices, http)
            await halting.half.wait()
            async for place, data in read(http, url, ""):
                last = place
                texts[data["sequence"]] = data["content"]
                if len(texts) == HALF:
                    break
            redis.command("FLUSHALL")
            if bot_is_first:
                halting.go_on.set()
                await halting.outcome
            async for _, data in read(http, url, last):
                resets += data["type"] == "stream_reset"
                halting.go_on.set()
                if data["type"] == "stream_chunk":
                    texts.setdefault(data["sequence"], data["content"])
            assert await halting.outcome == ReplyOutcome("completed", len(CHUNKS), ())
    assert "".join(texts[sequence] for sequence in sorted(texts)) == "".join(CHUNKS)
    assert resets == 1
    return url.split("/")[2]


@pytest.mark.parametrize("bot_is_first", [True, False], ids=["bot first", "device first"])
async def test_an_answer_that_redis_lost_is_sent_again_whole(
    seed: Seed, tmp_path: Path, own_redis: RedisServer, bot_is_first: bool
) -> None:
    """The device is told to start over, and leaves out what it had. The trace tells of it."""
    with running(seed, tmp_path / "relay", broker_url=own_redis.url) as relay:
        stream_id = await answered(relay, relay, own_redis, bot_is_first=bot_is_first)
        row = relay.trace(stream_id)
    assert (row["status"], row["outcome"]) == ("completed", "completed")
    assert "reopened" in [event["type"] for event in row["events"]]


async def test_a_device_of_another_relay_is_told_to_start_over(
    seed: Seed, tmp_path: Path, own_redis: RedisServer
) -> None:
    """It finds the new log as soon as the bot has sent something into it."""
    with ExitStack() as stack:
        given = {"broker_url": own_redis.url, "secret": "one-for-both-" + "0" * 32}
        bots, devices = (
            stack.enter_context(running(seed, tmp_path / name, **given)) for name in ("a", "b")
        )
        await answered(bots, devices, own_redis, bot_is_first=True)
