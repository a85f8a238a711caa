"""The fake relay: a socket for one bot, and questions for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from relay.protocol.events import BotBack, BotLost, RefusalCode, Stop
from relay.protocol.limits import Limits
from relay.protocol.status import Outcome
from relay.wire import cable
from relay.wire.bot import (
    RELIABLE,
    Acked,
    Cancel,
    Command,
    Connected,
    Outbound,
    Refused,
    Resume,
    StreamMessage,
)
from relay.wire.jsontext import JsonValue
from relay_sdk.errors import UsageError
from relay_sdk.testing.connection import FakeConnection
from relay_sdk.testing.stream import BotAnswer, FakeStream
from relay_sdk.testing.weather import Weather

BOT_ID = 1


class Question:
    """A question that the bot is answering."""

    def __init__(self, stream: FakeStream) -> None:
        self._stream = stream
        self._changed = asyncio.Event()

    @property
    def stream_id(self) -> str:
        """The id of its stream."""
        return self._stream.stream_id

    async def received(self, chunks: int) -> None:
        """Wait until so many chunks have arrived without a hole, or the answer is over."""
        while self._stream.next_sequence < chunks and self._stream.closed is None:
            await self._change()

    async def answer(self) -> BotAnswer:
        """Wait for the end of the answer."""
        while self._stream.closed is None:
            await self._change()
        return self._stream.answer()

    def changed(self) -> None:
        """Something has arrived."""
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class FakeRelay:
    """`async with FakeRelay() as relay`: listens on a free port of 127.0.0.1.

    It knows one bot, by `token`. `limits` are the real relay's, with the same defaults; a test
    that waits for one of them makes it short. `patience_s` is how long a question waits for a
    bot that is not connected, in seconds. `connections` counts what the bot has made of them.
    """

    def __init__(
        self,
        *,
        token: str = "fake-relay-token",  # noqa: S107 - it opens nothing
        limits: Limits | None = None,
        patience_s: float = 10.0,
    ) -> None:
        self.token = token
        self.connections = 0
        self._limits = limits or Limits()
        self._patience_s = patience_s
        self._weather = Weather()
        self._server: Server | None = None
        self._sockets: set[FakeConnection] = set()
        self._connection: FakeConnection | None = None
        self._attached = asyncio.Event()
        self._streams: dict[str, FakeStream] = {}
        self._questions: dict[str, Question] = {}
        self._forgotten: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._refusing = 0

    # --- what a test uses ---------------------------------------------------------------

    @property
    def url(self) -> str:
        """What to give to `Bot`."""
        if self._server is None:
            raise UsageError("the fake relay is not running: use `async with FakeRelay() as relay`")
        return f"http://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def connected(self) -> None:
        """Wait until a bot is connected. Raises `UsageError` after `patience_s`."""
        try:
            async with asyncio.timeout(self._patience_s):
                while self._connection is None or not self._connection.is_open:
                    self._attached.clear()
                    await self._attached.wait()
        except TimeoutError:
            raise UsageError(
                f"no bot has connected within {self._patience_s:g} s: "
                "is it running, with `relay.url` and `relay.token`?"
            ) from None

    async def ask(
        self,
        text: str,
        *,
        images: Sequence[str] = (),
        metadata: dict[str, JsonValue] | None = None,
        conversation_id: str = "conversation",
        user_id: str = "user",
    ) -> BotAnswer:
        """Ask the bot and wait for the end of its answer.

        `images` are URLs, `metadata` is what a device says about itself. Cancelling it (a
        timeout, for example) is what a device does that hangs up.
        """
        async with self.asking(
            text,
            images=images,
            metadata=metadata,
            conversation_id=conversation_id,
            user_id=user_id,
        ) as question:
            return await question.answer()

    @asynccontextmanager
    async def asking(
        self,
        text: str,
        *,
        images: Sequence[str] = (),
        metadata: dict[str, JsonValue] | None = None,
        conversation_id: str = "conversation",
        user_id: str = "user",
    ) -> AsyncIterator[Question]:
        """Ask the bot, and go on while it answers. Leaving the block early is a hang-up."""
        await self.connected()
        stream = FakeStream(secrets.token_hex(8), self._limits, self._now())
        question = Question(stream)
        self._streams[stream.stream_id] = stream
        self._questions[stream.stream_id] = question
        items: list[JsonValue] = [
            {"role": "user", "type": "image", "text": None, "image_url": url} for url in images
        ]
        items.append({"role": "user", "type": "text", "text": text, "image_url": None})
        payload: dict[str, JsonValue] = {
            "type": "execute_command",
            "command": "chat",
            "params": {"message": text},
            "metadata": {
                "user_id": user_id,
                "full_messages": items,
                "original_metadata": dict(metadata or {}),
                "session_id": stream.stream_id,
                "conversation_id": conversation_id,
                "trace_id": f"trace_{stream.stream_id}",
            },
        }
        self._send(
            Command(stream.stream_id, payload, self._limits.credit, _voucher(stream.stream_id))
        )
        self._arm(stream)
        try:
            yield question
        finally:
            if stream.closed is None:
                self._send(Cancel(stream.stream_id, "device_gone"))
                stop = Stop(Outcome.CANCELLED, "the device went away")
                self._answer(stream, stream.receive(stop, self._now()))

    # --- weather ------------------------------------------------------------------------

    def drop_chunks(self, *, every: int) -> AbstractContextManager[None]:
        """`with relay.drop_chunks(every=5)`: each fifth chunk is lost, repeats included."""
        return self._weather.drop_chunks(every=every)

    def repeat_chunks(self, *, every: int = 1) -> AbstractContextManager[None]:
        """Each n-th chunk arrives twice."""
        return self._weather.repeat_chunks(every=every)

    def drop_acks(self, *, every: int) -> AbstractContextManager[None]:
        """Each n-th acknowledgement is lost."""
        return self._weather.drop_acks(every=every)

    def delay_acks(self, seconds: float) -> AbstractContextManager[None]:
        """Acknowledgements take so much longer."""
        return self._weather.delay_acks(seconds)

    @contextmanager
    def withhold_acks(self) -> Iterator[None]:
        """No acknowledgement gets through; the newest of each stream does at the block's end."""
        self._weather.withholding += 1
        try:
            yield
        finally:
            self._weather.withholding -= 1
            for stream in self._streams.values():
                if stream.closed is None:
                    self._send(stream.acked())

    def cut(self) -> None:
        """Break the bot's connection, without a goodbye. It may come back at once."""
        for connection in list(self._sockets):
            connection.cut()

    @contextmanager
    def offline(self) -> Iterator[None]:
        """The relay cannot be reached: the connection breaks, and each new one is refused."""
        self._refusing += 1
        self.cut()
        try:
            yield
        finally:
            self._refusing -= 1

    def restart(self) -> None:
        """Be killed and started again: the connection breaks, and what was stored is gone."""
        for stream in self._streams.values():
            if stream.closed is None:
                stream.forget(self._now())
                self._forgotten.add(stream.stream_id)
                self._arm(stream)
        self.cut()

    # --- what connections say -----------------------------------------------------------

    def attach(self, connection: FakeConnection) -> None:
        """See `Host.attach`."""
        older, self._connection = self._connection, connection
        self.connections += 1
        if older is not None:
            older.close("fenced", reconnect=False)
        known = [one for one in self._streams.values() if one.stream_id not in self._forgotten]
        for stream in known:
            self._tell(stream, BotBack(can_resend=True))
        connection.send(
            Connected(
                bot_id=BOT_ID,
                connection_id=f"connection-{self.connections}",
                protocol=RELIABLE,
                durability="memory",
                window=self._limits.window,
                streams=tuple(stream.state() for stream in known),
            )
        )
        self._attached.set()

    def detach(self, connection: FakeConnection) -> None:
        """See `Host.detach`."""
        self._sockets.discard(connection)
        if connection is not self._connection:
            return
        self._connection = None
        self._attached.clear()
        for stream in self._streams.values():
            self._tell(stream, BotLost())

    def receive(self, message: StreamMessage | Resume) -> None:
        """See `Host.receive`."""
        stream = self._streams.get(message.stream_id or "")
        if isinstance(message, Resume):
            if stream is not None and message.voucher == _voucher(stream.stream_id):
                self._forgotten.discard(stream.stream_id)
                self._tell(stream, BotBack(can_resend=True))
                self._send(stream.closed or stream.acked())
                return
            stream = None
        if stream is None or stream.stream_id in self._forgotten:
            why = "no such stream is open for this bot; stop sending it"
            self._send(Refused(message.stream_id, None, RefusalCode.UNKNOWN_STREAM, why))
            return
        assert isinstance(message, StreamMessage)
        stream.sent.append(message.message)
        for _ in range(self._weather.copies(message.message)):
            self._answer(stream, stream.receive(message.message, self._now()))

    def _tell(self, stream: FakeStream, message: BotBack | BotLost) -> None:
        if stream.closed is None:
            self._answer(stream, stream.receive(message, self._now()))

    # --- inside -------------------------------------------------------------------------

    def _answer(self, stream: FakeStream, answers: Sequence[Outbound]) -> None:
        for answer in answers:
            self._send(answer)
        self._arm(stream)
        self._questions[stream.stream_id].changed()

    def _send(self, message: Outbound) -> None:
        if self._weather.loses(message):
            return
        if isinstance(message, Acked) and self._weather.withholding:
            return
        if delay_s := self._weather.delay_s(message):
            connection = self._connection
            asyncio.get_running_loop().call_later(delay_s, self._send_late, connection, message)
        elif self._connection is not None:
            self._connection.send(message)

    def _send_late(self, connection: FakeConnection | None, message: Outbound) -> None:
        # What was under way when the connection broke is lost with it.
        if connection is not None and connection is self._connection:
            connection.send(message)

    def _arm(self, stream: FakeStream) -> None:
        if (timer := self._timers.pop(stream.stream_id, None)) is not None:
            timer.cancel()
        if (deadline := stream.next_deadline()) is not None:
            loop = asyncio.get_running_loop()
            self._timers[stream.stream_id] = loop.call_at(deadline, self._on_timer, stream)

    def _on_timer(self, stream: FakeStream) -> None:
        self._answer(stream, stream.handle_timer(self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- its socket ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(cable.SUBPROTOCOL)],
            select_subprotocol=_select_subprotocol,
            compression=None,
            max_size=cable.SUMMARY_FRAME_BYTES_MAX,
            process_request=self._check,
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
        for timer in self._timers.values():
            timer.cancel()
        self._server.close(close_connections=False)
        self.cut()
        await self._server.wait_closed()

    def _check(self, socket: ServerConnection, _request: Request) -> Response | None:
        if self._refusing:
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "offline\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        if socket.request.headers.get("Authorization") != f"Bearer {self.token}":
            with suppress(ConnectionClosed):
                await socket.send(cable.disconnect("unauthorized", reconnect=False))
            return
        connection = FakeConnection(self, socket)
        self._sockets.add(connection)
        await connection.serve()


def _select_subprotocol(
    _socket: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    chosen = cable.select_subprotocol(offered)
    return None if chosen is None else Subprotocol(chosen)


def _voucher(stream_id: str) -> str:
    return f"voucher-of-{stream_id}"
