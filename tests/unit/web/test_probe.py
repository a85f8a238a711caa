from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette

from relay.web.probe import AT_ONCE_MAX, PATH, PAUSE_S, PIECES, probe_route
from relay.web.sse import SSE_HEADERS


async def test_the_pieces_come_with_a_pause_between_each_two() -> None:
    """Comments only, so that an SSE client sees an empty stream; the headers of a device stream."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    app = Starlette(routes=[probe_route(pause)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r") as http:
        reply = await http.get(PATH)
    assert reply.text.count(": piece ") == PIECES
    assert all(line.startswith(":") for line in reply.text.splitlines() if line)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert all(reply.headers[name] == value for name, value in SSE_HEADERS.items())
    assert pauses == [PAUSE_S] * (PIECES - 1)


async def test_only_so_many_run_at_once() -> None:
    """It asks for no key; who comes too many is told to try again, and finds room later."""
    gate = asyncio.Event()
    paused = asyncio.Semaphore(0)

    async def pause(_seconds: float) -> None:
        paused.release()
        await gate.wait()

    app = Starlette(routes=[probe_route(pause)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r") as http:
        running = [asyncio.create_task(http.get(PATH)) for _ in range(AT_ONCE_MAX)]
        for _ in running:
            await paused.acquire()
        refused = await http.get(PATH)
        gate.set()
        served = await asyncio.gather(*running)
        later = await http.get(PATH)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert {reply.status_code for reply in [*served, later]} == {200}
