"""Raw bytes on the relay's port: every HTTP endpoint and `/cable`, by the fast path and by ASGI."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import h11
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from relay.broker.memory import memory_broker
from relay.clock import ManualClock
from relay.node.node import Node
from relay.node.tracer import Tracer
from relay.server import server_config
from relay.web.fast.passes import Passes
from relay.web.routes import web_routes
from relay.web.sse import Responder
from tests.fuzz.pieces import cut, fields, number
from tests.fuzz.target import Target
from tests.unit.web.fakes import QUESTION, SETTINGS, FakeDirectory, MemorySink

ROUNDS: Final = 200
"""Turns of the loop that an input gets: what waits longer waits for a timer."""

_SWITCHED: Final = b"HTTP/1.1 101 "
_BROKEN: Final = frozenset({500, 501, 502})
_LOUD: Final = frozenset({"error", "critical"})
_CUTS: Final = (b"\0\0\0\2", b"\0\0\0\3")


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Complaints(logging.Handler):
    """Keeps what is logged as an error: a traceback in the log is a bug, whatever was answered."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


class Relay:
    """The web layer over a node, on a loop of its own, without a port."""

    def __init__(self, *, fast: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints = Complaints()
        self.methods: list[str] = []
        self.state = ServerState()
        self._passes = Passes(self.loop.call_soon, self.loop.time) if fast else None
        self._config = server_config(_noting(self._app(), self.methods), fast=fast)
        self._config.load()
        logging.getLogger().addHandler(self.complaints)
        self.loop.set_exception_handler(
            lambda _, context: self.complaints.found.append(repr(context))
        )

    def _app(self) -> Starlette:
        clock = ManualClock()
        node = Node(
            clock=clock,
            broker=memory_broker(),
            settings=SETTINGS,
            tracer=Tracer(MemorySink(), batch_s=0.0),
            call_later=self.loop.call_later,
        )
        passes = self._passes
        responder = Responder(keepalive_s=7.0, drain_s=0, passes=passes)
        # Streams from before the start are not waited for any more.
        clock.advance(3600.0)
        routes = web_routes(node, FakeDirectory(), responder, SETTINGS, clock, passes=passes)
        return Starlette(routes=[*routes])

    def hear(self, pieces: list[bytes]) -> bytes:
        """Let one connection say this and hang up; returns what it was answered."""
        return self.loop.run_until_complete(self._hear(pieces))

    async def _hear(self, pieces: list[bytes]) -> bytes:
        wire = Wire()
        make: Callable[..., asyncio.Protocol] = self._config.http_protocol_class
        protocol = make(self._config, self.state, {}, self.loop)
        wire.protocol = protocol
        protocol.connection_made(wire)
        for piece in pieces:
            protocol = wire.protocol  # another one, once it is a WebSocket
            if wire.closed:
                break
            if not piece:
                continue  # to a protocol it is the end, which has a call of its own
            protocol.data_received(piece)
            await self._turns(lambda: wire.closed)
        # The peer has hung up: whoever still writes to it must take that.
        wire.closed = True
        assert isinstance(wire.protocol, asyncio.Protocol)
        wire.protocol.connection_lost(None)
        await self._turns(lambda: not self.state.tasks)
        for task in list(self.state.tasks):
            task.cancel()
        await self._turns(lambda: not self.state.tasks)
        assert not self.state.tasks, "a task outlives its connection"
        assert not self.state.connections
        return bytes(wire.written)

    async def _turns(self, done: Callable[[], bool]) -> None:
        for _ in range(ROUNDS):
            if done():
                return
            await asyncio.sleep(0)


def _noting(app: ASGIApp, methods: list[str]) -> ASGIApp:
    """Note what is asked: how long an answer is depends on it (RFC 9110, 9.3.2)."""

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        methods.append(scope.get("method", "GET"))
        await app(scope, receive, send)

    return noting


@cache
def relay(*, fast: bool) -> Relay:
    """The relay of all inputs of a run."""
    return Relay(fast=fast)


def check(data: bytes) -> None:
    """Every answer is HTTP and typed; nothing is logged as an error; nothing stays behind."""
    size, raw = fields(data, 2)
    width = number(size, 3)
    raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if width != 1 else raw
    head, end, rest = raw.partition(b"\r\n\r\n")
    pieces = [[raw], [raw], [head + end, rest], [head, end, *cut(rest, 64)]][width]
    for fast in (True, False):
        server = relay(fast=fast)
        server.methods.clear()
        with capture_logs() as logged:
            written = server.hear(pieces)
        complaints, server.complaints.found = server.complaints.found, []
        complaints += [repr(event) for event in logged if event["log_level"] in _LOUD]
        assert not complaints, complaints
        _read(written, server.methods)


def _read(written: bytes, methods: Sequence[str]) -> None:
    """Read the responses as h11 does, which is strict. What no method was noted of was refused."""
    asked = iter(methods)
    while written and not written.startswith(_SWITCHED):
        method = "HEAD" if next(asked, "") == "HEAD" else "GET"
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "relay")]))
        client.send(h11.EndOfMessage())
        client.receive_data(written)
        response = client.next_event()
        while isinstance(response, h11.InformationalResponse):
            response = client.next_event()
        if response is h11.NEED_DATA:
            return
        assert isinstance(response, h11.Response), response
        assert response.status_code not in _BROKEN, written
        body = bytearray()
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        if not isinstance(event, h11.EndOfMessage):
            return  # a stream that was cut off
        _typed(response, bytes(body))
        written, _ = client.trailing_data


def _typed(response: h11.Response, body: bytes) -> None:
    """Our own refusals are JSON with a code; the server's and the router's are plain text."""
    kind = dict(response.headers).get(b"content-type", b"").partition(b";")[0]
    if kind == b"application/json" and body:
        said = json.loads(body)
        assert response.status_code < 400 or (said["error"] and said["code"])


def _request(line: str, *headers: str, body: str = "") -> bytes:
    host = ["Host: relay", "Authorization: Bearer ak_1", *headers]
    length = [f"Content-Length: {len(body.encode())}"] if body else []
    return "\r\n".join([line, *host, *length, "", body]).encode()


def _frames(*texts: str) -> bytes:
    """Masked text frames, with a mask of zeros."""
    found = bytearray()
    for one in texts:
        payload = one.encode()
        short = len(payload) < 126
        size = [0x80 | len(payload)] if short else [0xFE, *len(payload).to_bytes(2, "big")]
        found += bytes([0x81, *size, 0, 0, 0, 0]) + payload
    return bytes(found)


def seeds() -> list[bytes]:
    """A request to each endpoint, a kept connection, and a bot that subscribes and speaks."""
    body = json.dumps(dict(QUESTION))
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    upgrade += ["Sec-WebSocket-Key: YmVuY2gtYmVuY2gtYmVuYw=="]
    identifier = '{"channel":"BotChannel","protocol":2}'
    worker = '{"channel":"RokidStreamChannel","access_key":"ak_1","bot_id":1,"session_id":"1"}'
    said = [json.dumps({"command": "subscribe", "identifier": one}) for one in (identifier, worker)]
    chunk = json.dumps({"type": "stream_chunk", "session_id": "s", "sequence": 0, "content": "x"})
    said += [json.dumps({"command": "message", "identifier": identifier, "data": chunk})]
    requests = [
        _request("POST /sse/rokid HTTP/1.1", body=body),
        _request("POST /api/rokid/trigger HTTP/1.1", body=body),
        _request("GET /api/rokid/poll?bot_id=1&session_id=1740000000000 HTTP/1.1"),
        _request("GET /streams/1/events HTTP/1.1", "Last-Event-ID: e.1"),
        _request("GET /streams/1/events?ticket=x.y&lastEventId=e.1 HTTP/1.1"),
        _request("OPTIONS /streams/1/events HTTP/1.1"),
        _request("GET /probe HTTP/1.1") + _request("GET /metrics HTTP/1.1"),
        _request("HEAD /sse/rokid HTTP/1.1") + _request("GET /probe HTTP/1.1"),
        _request("POST /sse/rokid HTTP/1.1", "Transfer-Encoding: chunked")
        + b"2\r\n{}\r\n0\r\n\r\n",
        _request("POST /sse/rokid HTTP/1.1", "Expect: 100-continue", body="{}"),
        _request("GET /cable?sdk_token=token-1 HTTP/1.1", *upgrade),
        _request("GET /cable HTTP/1.1", *upgrade, "Origin: https://elsewhere"),
    ]
    bot = _request("GET /cable?sdk_token=token-1 HTTP/1.1", *upgrade)
    plain = [b"\0\0\0\1\x1f" + request for request in requests]
    # What comes behind the head meets the protocol that was switched to.
    return [*plain, *(mode + b"\x1f" + bot + _frames(*said) for mode in _CUTS)]


TARGET: Final = Target(check, seeds, bytes_max=8192, long_bytes=0)
