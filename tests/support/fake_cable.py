"""A scripted relay on a real socket: the test says what it answers, frame by frame.

It writes and reads the JSON of docs/protocol.md by hand, so that a mistake in relay.wire
cannot hide from the SDK's tests.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

Json = dict[str, Any]


class FakeConnection:
    """One bot's connection, subscribed."""

    def __init__(self, socket: ServerConnection, identifier: str) -> None:
        self.identifier = identifier
        self.received: list[Json] = []
        self._socket = socket
        self._inbox: asyncio.Queue[Json] = asyncio.Queue()

    @property
    def authorization(self) -> str:
        return self._request.headers.get("Authorization", "")

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def subprotocol(self) -> str | None:
        return self._socket.subprotocol

    async def read(self) -> None:
        """Collect what the bot sends until the connection is closed."""
        async for raw in self._socket:
            frame = json.loads(raw)
            assert frame["command"] == "message", frame
            assert frame["identifier"] == self.identifier, frame
            message = json.loads(frame["data"])
            self.received.append(message)
            self._inbox.put_nowait(message)

    async def next(self) -> Json:
        """The next message of the bot."""
        return await self._inbox.get()

    async def chunks(self, count: int) -> list[tuple[int, str]]:
        """The next messages, which must be chunks, as (sequence, content)."""
        chunks = []
        for _ in range(count):
            message = await self.next()
            assert message["type"] == "stream_chunk", message
            chunks.append((message["sequence"], message["content"]))
        return chunks

    def is_quiet(self) -> bool:
        """Whether every message of the bot has been taken by `next`."""
        return self._inbox.empty()

    async def frame(self, frame: Json) -> None:
        """Send a whole frame."""
        await self._socket.send(json.dumps(frame))

    async def send(self, message: Json) -> None:
        """Send one message of the subscription."""
        await self.frame({"identifier": self.identifier, "message": message})

    async def connected(self, *streams: Json, protocol: int = 2, confirm: bool = True) -> None:
        """Greet the bot, with the streams that are held for it."""
        await self.send(
            {
                "type": "connected",
                "protocol": protocol,
                "bot_id": 1,
                "session_id": "connection-1",
                "message": "hello",
                "durability": "memory",
                "window": 1024,
                "streams": list(streams),
            }
        )
        if confirm:
            await self.frame({"identifier": self.identifier, "type": "confirm_subscription"})

    async def ask(self, stream_id: str, text: str, credit: int = 100, **metadata: Any) -> None:
        """Ask the bot something."""
        await self.send(
            {
                "type": "execute_command",
                "command": "chat",
                "params": {"message": text},
                "metadata": {"session_id": stream_id, **metadata},
                "timestamp": "2026-02-27T10:00:00+08:00",
                "credit": credit,
            }
        )

    async def ack(self, stream_id: str, next_sequence: int, credit: int = 100) -> None:
        """Acknowledge everything below `next_sequence`."""
        await self.send(
            {
                "type": "ack",
                "session_id": stream_id,
                "next_sequence": next_sequence,
                "received": [],
                "credit": credit,
            }
        )

    async def close_stream(
        self, stream_id: str, total: int, outcome: str = "completed", missing: Any = ()
    ) -> None:
        """Tell the bot how the stream ended."""
        await self.send(
            {
                "type": "stream_closed",
                "session_id": stream_id,
                "outcome": outcome,
                "total_chunks": total,
                "missing": list(missing),
            }
        )

    async def take_answer(self, stream_id: str) -> str:
        """Acknowledge a whole answer chunk by chunk, close its stream, and return its text."""
        text = ""
        expected = 0
        while (message := await self.next())["type"] == "stream_chunk":
            assert (message["session_id"], message["sequence"]) == (stream_id, expected)
            text += message["content"]
            expected += 1
            await self.ack(stream_id, expected)
        assert message["type"] == "stream_end", message
        assert (message["session_id"], message["total_chunks"]) == (stream_id, expected)
        await self.close_stream(stream_id, expected)
        return text

    async def disconnect(self, reason: str, *, reconnect: bool) -> None:
        """Send ActionCable's `disconnect` and close."""
        await self.frame({"type": "disconnect", "reason": reason, "reconnect": reconnect})
        await self._socket.close()

    def cut(self) -> None:
        """Break the connection as a cable cut would: no close frame, no goodbye."""
        self._socket.transport.abort()

    @property
    def _request(self) -> Request:
        assert self._socket.request is not None
        return self._socket.request


class FakeRelay:
    """`async with FakeRelay() as relay`: listens on a free port of 127.0.0.1.

    `refusal` makes it refuse every connection in the way of an unknown token, `status`
    with a plain HTTP answer, `retry_after` being one of its headers.
    """

    def __init__(
        self, *, refusal: str = "", status: HTTPStatus | None = None, retry_after: str = ""
    ) -> None:
        self.attempts = 0
        self._retry_after = retry_after
        self._refusal = refusal
        self._status = status
        self._subscribed: asyncio.Queue[FakeConnection] = asyncio.Queue()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        port = cast("int", next(iter(self._server.sockets)).getsockname()[1])
        return f"http://127.0.0.1:{port}"

    async def connection(self) -> FakeConnection:
        """The next connection that has subscribed. It has not been greeted yet."""
        return await self._subscribed.get()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("actioncable-v1-json")],
            # The SDKs of old offer none, and websockets would refuse them.
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
            process_request=self._answer,
            ping_interval=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _answer(self, socket: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        if self._status is None:
            return None
        answer = socket.respond(self._status, "no\n")
        if self._retry_after:
            answer.headers["Retry-After"] = self._retry_after
        return answer

    async def _serve(self, socket: ServerConnection) -> None:
        try:
            if self._refusal:
                refusal = {"type": "disconnect", "reason": self._refusal, "reconnect": False}
                await socket.send(json.dumps(refusal))
                return
            await socket.send('{"type":"welcome"}')
            frame = json.loads(await socket.recv())
            assert frame["command"] == "subscribe", frame
            connection = FakeConnection(socket, frame["identifier"])
            self._subscribed.put_nowait(connection)
            await connection.read()
        except ConnectionClosed:
            pass
