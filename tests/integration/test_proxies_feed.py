"""What an operator watches, through both proxies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.bots import RawBot, raw_bot, stream_of
from tests.support.glasses import Answer, Glasses, question
from tests.support.operators import admin_token
from tests.support.proxies import KINDS, buffered, running_proxy
from tests.support.server import RelayServer

PLANTED_S = 2.0
"""How long what never comes is waited for; a slow machine cannot make these tests fail."""

pytestmark = pytest.mark.parametrize("kind", KINDS)


def has_told(feed: Answer, name: str, stream_id: str) -> bool:
    """Whether the feed has this event of this stream."""
    return any(
        event.name == name and event.data.get("stream_id") == stream_id for event in feed.events
    )


async def watched(front: RelayServer, token: str, bot: RawBot) -> None:
    """A stream opens, grows and ends; each is told before the next happens."""
    glasses = Glasses(front.url, front.key)
    async with glasses.follow("/admin/api/live/events", Authorization=f"Bearer {token}") as feed:
        await feed.until(lambda feed: bool(feed.events))
        assert feed.events[0].name == "snapshot"
        async with glasses.ask(question(front.bot().user_id)) as answer:
            stream_id = stream_of(await bot.command())
            await feed.until(lambda feed: has_told(feed, "opened", stream_id))
            await bot.chunks(stream_id, ["x"])
            await feed.until(lambda feed: has_told(feed, "changed", stream_id))
            await bot.end(stream_id, ["x"])
            await answer.read()
        await feed.until(lambda feed: has_told(feed, "closed", stream_id))
        assert not feed.ended


async def test_a_feed_is_told_through_the_proxy_as_things_happen(
    kind: str, relay: RelayServer, tmp_path: Path
) -> None:
    """`GET /admin/api/live/events` is not buffered: each event comes before the next happens."""
    token = await admin_token(relay)
    with running_proxy(kind, tmp_path, [relay.port]) as proxy:
        front = proxy.before(relay)
        async with raw_bot(front) as bot:
            await watched(front, token, bot)


async def test_a_proxy_that_buffers_the_feed_is_found_out(
    kind: str, relay: RelayServer, tmp_path: Path
) -> None:
    """So the test above can fail."""
    token = await admin_token(relay)
    with running_proxy(kind, tmp_path, [relay.port], buffered) as wrong:
        async with raw_bot(relay) as bot:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(PLANTED_S):
                    await watched(wrong.before(relay), token, bot)
