"""Connections that are gone are freed at once, and not when somebody looks for garbage."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import product

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from bench.wire import PING, frame
from relay import server
from relay.web.hardened.doorstep import Doorstep
from relay.web.hardened.http import HardenedHttp
from tests.unit.web.fakes import Served, answer, eventually, serving
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
    born: list[weakref.ref[asyncio.Protocol]] = []
    made = HardenedHttp.connection_made

    def noting(self: HardenedHttp, transport: asyncio.Transport) -> None:
        born.append(weakref.ref(self))
        made(self, transport)

    class NotedDoorstep(Doorstep):
        __slots__ = ("__weakref__",)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            born.append(weakref.ref(self))
            super().connection_made(transport)

    monkeypatch.setattr(HardenedHttp, "connection_made", noting)
    monkeypatch.setattr(server, "Doorstep", NotedDoorstep)

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
            await eventually(lambda: len(born) >= 5 and not any(one() for one in born))
            assert len(born) == (10 if said.endswith(b"\r\n\r\n") else 5)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(come_and_go())


async def is_answered(web: Served) -> None:
    """A bot answers a device, to the end."""
    async with web.bot() as bot:
        asking = asyncio.create_task(web.ask())
        metadata = (await bot.until("execute_command"))["metadata"]
        assert isinstance(metadata, dict)
        await answer(bot, str(metadata["session_id"]), "Hello")
        await asking


async def leaves_early(web: Served) -> None:
    """A device leaves in the middle, and then its bot."""
    async with web.bot() as bot:
        url = (await web.trigger())["events_url"]
        async with web.http.stream("GET", url) as response:
            metadata = (await bot.until("execute_command"))["metadata"]
            assert isinstance(metadata, dict)
            stream_id = str(metadata["session_id"])
            await bot.perform(
                type="stream_chunk", session_id=stream_id, sequence=0, content="Hello"
            )
            async for line in response.aiter_lines():
                if "Hello" in line:
                    break
        await eventually(lambda: web.readers(stream_id) == 0)


async def floods(web: Served) -> None:
    """A bot's socket is full of pings, and it is cut."""
    async with web.bot() as bot:
        bot.socket.transport.write(frame(b"", PING) * 1_000)
        await bot.closed()


async def hangs_up(web: Served) -> None:
    """A bot is gone without a word."""
    async with web.bot() as bot:
        bot.socket.transport.abort()


async def is_unknown(web: Served) -> None:
    """A bot whose token is wrong is told so."""
    async with web.cable("?sdk_token=wrong") as bot:
        await bot.closed()


async def asks_nonsense(web: Served) -> None:
    """Devices and a program send what is no question."""
    for path in ("/sse/rokid", "/api/rokid/trigger"):
        for body in (b"{", b"[]", b"{}"):
            assert (await web.http.post(path, content=body)).content


async def has_no_key(web: Served) -> None:
    """A device and a program are not known."""
    for path in ("/sse/rokid", "/api/rokid/trigger"):
        headers = {"Authorization": "Bearer nobody"}
        assert (await web.http.post(path, content=b"{}", headers=headers)).content


VISITS = (
    *(is_answered, leaves_early, floods, hangs_up, is_unknown),
    *(asks_nonsense, has_no_key),
)

EXCEPT = (leaves_early, "off")
"""sse-starlette cancels its tasks then, and their tracebacks know one another."""


@pytest.mark.parametrize(
    ("visit", "fast_path"),
    [case for case in product(VISITS, ("on", "off")) if case != EXCEPT],
)
async def test_nobody_who_was_here_leaves_garbage(
    visit: Callable[[Served], Awaitable[None]], fast_path: str
) -> None:
    """What is left of them is freed by its count of references: nothing of ours is in a cycle."""
    async with serving(fast_path=fast_path) as web:
        assert not await garbage_of(visit, web)


async def garbage_of(visit: Callable[[Served], Awaitable[None]], web: Served) -> Mapping[str, int]:
    """Count what a visit leaves that only a collector finds, by class."""
    here = asyncio.all_tasks()

    async def all_done() -> None:
        # sse-starlette has one that stays as long as the loop.
        await eventually(
            lambda: all("watcher" in repr(task) for task in asyncio.all_tasks() - here)
        )
        for _ in range(10):  # callbacks that know them
            await asyncio.sleep(0)

    await visit(web)  # what is made once, at the first visit, may stay
    await all_done()
    gc.collect()
    gc.disable()
    try:
        await visit(web)
        await all_done()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(one).__qualname__ for one in gc.garbage if is_ours(one))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def is_ours(one: object) -> bool:
    """Whether the relay made it, or uvicorn for the relay."""
    kind = type(one)
    return (
        kind.__module__.split(".")[0] in ("relay", "uvicorn") or kind.__name__ == "ServerProtocol"
    )
