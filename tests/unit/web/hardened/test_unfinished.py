"""Responses that their application left unfinished are cut."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from relay.limits.allowance import Allowance
from relay.limits.door import Door
from tests.unit.web.ways import Way


@pytest.mark.parametrize("way", [Way.FAST, Way.PLAIN])
@pytest.mark.parametrize("reads", [True, False])
async def test_an_answer_that_is_left_unfinished_is_cut_without_an_error(
    way: Way, reads: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that was let go: the connection ends, and with it what was not taken."""
    caplog.set_level(logging.INFO)
    size = 1_000 if reads else 4 * 1_048_576

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})

    door = Door(Allowance())
    async with way.serve(app, door) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        while len(door):  # noqa: ASYNC110 - a socket has no event for it
            await asyncio.sleep(0.001)
        with suppress(ConnectionError):
            assert (len(await reader.read()) > size) is reads
        writer.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
