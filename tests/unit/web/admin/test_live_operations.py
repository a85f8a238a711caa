"""Operations on what is so just now."""

from __future__ import annotations

import asyncio
import json

import httpx

from tests.support.admin import live_stream
from tests.support.admin_api import BEARER, admin_api
from tests.unit.web.fakes import eventually, running


async def test_open_streams_are_listed_with_their_number() -> None:
    """The number is of all, however few are shown."""
    async with admin_api(streams=[live_stream(1), live_stream(2)]) as api:
        api.live.online |= {3, 1}
        told = (await api.get("/live?limit=1")).json()
    assert [stream["stream_id"] for stream in told["streams"]] == ["live-0001"]
    assert (told["total"], told["online_bots"]) == (2, [1, 3])


async def test_the_feed_is_read_over_a_socket_until_the_relay_ends() -> None:
    """Names, headers and the end, as a browser's EventSource sees them."""
    async with admin_api(streams=[live_stream(1)]) as api, running(api.app) as port:
        url, seen = f"http://127.0.0.1:{port}/admin/api/live/events", []
        async with (
            asyncio.timeout(10),
            httpx.AsyncClient(trust_env=False, headers=BEARER) as http,
            http.stream("GET", url) as response,
        ):
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert response.headers["Cache-Control"] == "no-store"
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    seen.append(line)
                if line.startswith("data: ") and seen == ["event: snapshot"]:
                    assert json.loads(line[6:])["total"] == 1
                    api.live.streams = []
                if seen[-1:] == ["event: closed"]:
                    api.feed.end_all()
        await eventually(lambda: api.feed.watching == 0)
    assert seen == ["event: snapshot", "event: closed"]
