"""A web layer on a real port, over a real node, with a directory of dictionaries behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from relay.admin.trace_row import TraceRow
from relay.broker.memory import memory_broker
from relay.clock import SystemClock
from relay.errors import StoreError
from relay.limits.door import Door
from relay.node.node import Node
from relay.node.tracer import Tracer
from relay.server import server_config
from relay.settings import Settings
from relay.web.auth import BotIdentity, KeyIdentity
from relay.web.fast.passes import Passes
from relay.web.hardened.listener import listen
from relay.web.routes import web_routes
from relay.web.sse import Responder
from relay.wire.jsontext import JsonValue

BOT, OTHER_BOT = BotIdentity(1, "one"), BotIdentity(2, "two")
KEY, OTHER_KEY = KeyIdentity(11, "console"), KeyIdentity(12, "another")

SETTINGS = Settings(
    secret="s" * 32,
    poll_seconds=0.2,
    cable_ping_seconds=30.0,
    barrier_seconds=0.2,
    bot_grace_seconds=0.2,
    hangup_grace_seconds=0.05,
    guess_seconds=0.02,
)
"""Short limits: what a test waits for is then there within milliseconds."""

QUESTION: Mapping[str, JsonValue] = {
    "message_id": "1740000000000",
    "agent_id": "a" * 32,
    "user_id": "U1",
    "message": [{"role": "user", "type": "text", "text": "hello", "image_url": None}],
    "metadata": {"lang": "en-US"},
}


@dataclass(slots=True)
class FakeDirectory:
    """A `Directory` of dictionaries, that can be away."""

    tokens: Mapping[str, BotIdentity] = field(
        default_factory=lambda: {"token-1": BOT, "token-2": OTHER_BOT}
    )
    users: Mapping[str, BotIdentity] = field(default_factory=lambda: {"U1": BOT, "U2": OTHER_BOT})
    keys: Mapping[str, KeyIdentity] = field(
        default_factory=lambda: {"ak_1": KEY, "ak_2": OTHER_KEY}
    )
    away: bool = False

    async def bot_by_token(self, token: str) -> BotIdentity | None:
        """The bot of a token."""
        self._answer()
        return self.tokens.get(token)

    async def bot_by_user(self, user_id: str) -> BotIdentity | None:
        """The bot of a user."""
        self._answer()
        return self.users.get(user_id)

    async def access_key(self, key: str) -> KeyIdentity | None:
        """The identity of a key."""
        self._answer()
        return self.keys.get(key)

    def _answer(self) -> None:
        if self.away:
            raise StoreError("sqlite:///secret-path is locked")


class MemorySink:
    """A `TraceSink` that keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[TraceRow] = []

    async def write_traces(self, rows: Sequence[TraceRow]) -> int:
        """Keep them."""
        self.rows.extend(rows)
        return 0


class Cable:
    """A client of `/cable`, with one subscription at a time."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.identifier = ""

    async def frame(self) -> dict[str, JsonValue]:
        """The next frame."""
        decoded = json.loads(await asyncio.wait_for(self.socket.recv(), 5))
        assert isinstance(decoded, dict)
        return decoded

    async def message(self) -> dict[str, JsonValue]:
        """The inner message of the next frame that has one."""
        while True:
            found = (await self.frame()).get("message")
            if isinstance(found, dict):
                return found

    async def until(self, kind: str) -> dict[str, JsonValue]:
        """The next inner message of this type."""
        while True:
            message = await self.message()
            if message.get("type") == kind:
                return message

    async def send(self, frame: JsonValue) -> None:
        """Send one frame as JSON."""
        await self.socket.send(json.dumps(frame))

    async def subscribe(self, **params: JsonValue) -> None:
        """Ask for a channel; the answer is the caller's to read."""
        self.identifier = json.dumps(params)
        await self.send({"command": "subscribe", "identifier": self.identifier})

    async def perform(self, **data: JsonValue) -> None:
        """Send one message of the subscription."""
        text = json.dumps(data)
        await self.send({"command": "message", "identifier": self.identifier, "data": text})

    async def closed(self) -> int | None:
        """Wait for the close; returns its code."""
        await asyncio.wait_for(self.socket.wait_closed(), 5)
        return self.socket.close_code


@dataclass(slots=True)
class Served:
    """The web layer on a port."""

    port: int
    node: Node
    directory: FakeDirectory
    responder: Responder
    sink: MemorySink
    http: httpx.AsyncClient

    @asynccontextmanager
    async def cable(
        self, query: str = "", *, offer: Sequence[str] = (), **headers: str
    ) -> AsyncIterator[Cable]:
        """Open a socket to `/cable`. A header's underscores stand for hyphens."""
        async with connect(
            f"ws://127.0.0.1:{self.port}/cable{query}",
            subprotocols=[Subprotocol(name) for name in offer] or None,
            additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
            compression=None,
            proxy=None,
        ) as socket:
            yield Cable(socket)

    @asynccontextmanager
    async def bot(self, protocol: int = 2, number: int = 1) -> AsyncIterator[Cable]:
        """Open the socket of a bot that is subscribed."""
        async with self.cable(f"?sdk_token=token-{number}") as cable:
            extra: dict[str, JsonValue] = {"protocol": protocol} if protocol > 1 else {}
            await cable.subscribe(channel="BotChannel", **extra)
            while (await cable.frame()).get("type") != "confirm_subscription":
                pass
            yield cable

    async def ask(self, *, key: str = "ak_1", **changes: JsonValue) -> httpx.Response:
        """Ask as glasses do and read the whole answer."""
        return await self.http.post(
            "/sse/rokid",
            json={**QUESTION, **changes},
            headers={"Authorization": f"Bearer {key}"},
        )

    async def trigger(self, **changes: JsonValue) -> dict[str, str]:
        """Ask as a worker does."""
        response = await self.http.post(
            "/api/rokid/trigger",
            json={**QUESTION, **changes},
            headers={"Authorization": "Bearer ak_1"},
        )
        assert response.status_code == 200, response.text
        answer: dict[str, str] = response.json()
        return answer

    async def trigger_raw(self, **headers: str) -> httpx.Response:
        """Ask as a worker does, whatever the answer is."""
        return await self.http.post(
            "/api/rokid/trigger", json=QUESTION, headers={"Authorization": "Bearer ak_1", **headers}
        )

    def readers(self, stream_id: str) -> int:
        """How many subscriptions a stream has; -1 where there is none (any more)."""
        stream = self.node._registry.get(stream_id)  # noqa: SLF001 - no shell needs to know
        return -1 if stream is None else stream.audience.readers


def running_passes() -> Passes:
    """Passes of the loop that runs."""
    loop = asyncio.get_running_loop()
    return Passes(loop.call_soon, loop.time)


@asynccontextmanager
async def serving(**changes: object) -> AsyncIterator[Served]:
    """Serve the web layer; `changes` are settings that differ from `SETTINGS`."""
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    clock, directory, sink = SystemClock(), FakeDirectory(), MemorySink()
    tracer = Tracer(sink, batch_s=0.0)
    node = Node(
        clock=clock,
        broker=memory_broker(),
        settings=settings,
        tracer=tracer,
    )
    passes = running_passes() if settings.fast_path == "on" else None
    responder = Responder(keepalive_s=settings.keepalive_seconds, drain_s=0, passes=passes)
    routes = web_routes(node, directory, responder, settings, clock, passes=passes)
    app = Starlette(routes=[*routes])
    tracer.start()
    async with running(app, fast=passes is not None) as port:
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=5, trust_env=False) as http:
            yield Served(port, node, directory, responder, sink, http)
        await node.drain()
        responder.end_all()
    await tracer.stop()


@asynccontextmanager
async def running(
    app: ASGIApp, *, fast: bool = True, door: Door | None = None
) -> AsyncIterator[int]:
    """Run an application on a free port, by uvicorn's protocols as the relay configures them.

    Without `uvicorn.Server`, whose start and stop take 0.2 s and which test_app.py runs.
    """
    listener = listen("127.0.0.1", 0)
    config = server_config(app, fast=fast, door=door)
    config.load()
    state = ServerState()

    make: Callable[..., asyncio.Protocol] = config.http_protocol_class
    server = await asyncio.get_running_loop().create_server(
        lambda: make(config=config, server_state=state, app_state={}), sock=listener
    )
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await eventually(lambda: not state.tasks)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so, at most 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def answer(bot: Cable, session_id: str, *chunks: str) -> None:
    """Answer one question as a protocol-2 bot."""
    for sequence, content in enumerate(chunks):
        await bot.perform(
            type="stream_chunk", session_id=session_id, sequence=sequence, content=content
        )
    await bot.perform(type="stream_end", session_id=session_id, total_chunks=len(chunks))


def texts(body: str) -> list[str]:
    """The `answer_stream` of each event of a Lingzhu answer."""
    events = [json.loads(line[5:]) for line in body.splitlines() if line.startswith("data:")]
    return [event["answer_stream"] for event in events if "answer_stream" in event]
