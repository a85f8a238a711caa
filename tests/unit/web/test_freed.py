"""Connections that are gone are freed at once, and not when somebody looks for garbage."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from relay.web.hardening import HardenedHttp
from tests.unit.web.fakes import eventually
from tests.unit.web.ways import Way

TIMEOUT_S = 10.0


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nobody looks for garbage."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("way", [Way.FAST, Way.PLAIN])
@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ids=["nothing", "half a head", "a request"],
)
def test_a_connection_that_is_gone_is_freed(
    said: bytes, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it said: what is left of a flood of them would stop everybody to be found."""
    born: list[weakref.ref[HardenedHttp]] = []
    made = HardenedHttp.connection_made

    def noting(self: HardenedHttp, transport: asyncio.Transport) -> None:
        born.append(weakref.ref(self))
        made(self, transport)

    monkeypatch.setattr(HardenedHttp, "connection_made", noting)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def come_and_go() -> None:
        async with asyncio.timeout(TIMEOUT_S), way.serve(app) as port:
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(said)
                if said.endswith(b"\r\n\r\n"):
                    await reader.readuntil(b"\r\n\r\n")
                writer.transport.abort()
            await eventually(lambda: bool(born) and not any(one() for one in born))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(come_and_go())
