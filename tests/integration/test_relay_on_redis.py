"""A relay whose logs lie in Redis: it is killed and comes back, and Redis is restarted under it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay_sdk import ReplyOutcome
from tests.integration.test_relay_killed import CHUNKS, HALF, Halting, read, trigger
from tests.support.redis import RedisServer, own_redis
from tests.support.server import RelayServer, Seed, running

__all__ = ["own_redis"]

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def mortal(seed: Seed, tmp_path: Path, own_redis: RedisServer) -> Iterator[RelayServer]:
    """A relay of this test's own on a Redis of this test's own."""
    with running(seed, tmp_path / "mortal", broker_url=own_redis.url) as server:
        yield server


class Texts:
    """What a device has read."""

    def __init__(self) -> None:
        self.by_sequence: dict[int, str] = {}
        self.last = ""
        self.others: list[str] = []

    def take(self, place: str, data: dict[str, Any]) -> None:
        """Take one event. No sequence comes twice."""
        if data["type"] == "stream_chunk":
            assert data["sequence"] not in self.by_sequence
            self.by_sequence[data["sequence"]] = data["content"]
            self.last = place
        else:
            self.others.append(data["type"])

    @property
    def whole(self) -> str:
        return "".join(self.by_sequence[sequence] for sequence in sorted(self.by_sequence))


async def test_a_relay_that_was_killed_has_lost_nothing(mortal: RelayServer) -> None:
    """The device goes on at its position, reads nothing twice, and is told of no new start."""
    texts = Texts()
    async with httpx.AsyncClient(base_url=mortal.url, trust_env=False, timeout=30) as http:
        halting = Halting(mortal.url, mortal.bot().token)
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(mortal, http)
            await halting.half.wait()
            async for place, data in read(http, url, ""):
                texts.take(place, data)
                if len(texts.by_sequence) == HALF:
                    break
            mortal.kill()
            mortal.start()
            halting.go_on.set()
            async for place, data in read(http, url, texts.last):
                texts.take(place, data)
            assert await halting.outcome == ReplyOutcome("completed", len(CHUNKS), ())
    assert texts.whole == "".join(CHUNKS)
    assert "stream_reset" not in texts.others
    row = mortal.trace(url.split("/")[2])
    assert (row["status"], row["sdk_total_chunks"]) == ("completed", len(CHUNKS))


async def test_a_restart_of_redis_is_not_seen_by_a_device(
    mortal: RelayServer, own_redis: RedisServer
) -> None:
    """Its connection stays, and after the pause the rest comes once."""
    texts = Texts()
    async with httpx.AsyncClient(base_url=mortal.url, trust_env=False, timeout=30) as http:
        halting = Halting(mortal.url, mortal.bot().token)
        async with halting.bot as bot:
            await bot.connected()
            url = await trigger(mortal, http)
            await halting.half.wait()
            async for place, data in read(http, url, ""):
                texts.take(place, data)
                if len(texts.by_sequence) == HALF and not halting.go_on.is_set():
                    own_redis.kill()
                    halting.go_on.set()
                    own_redis.start()
            assert await halting.outcome == ReplyOutcome("completed", len(CHUNKS), ())
    assert texts.whole == "".join(CHUNKS)
