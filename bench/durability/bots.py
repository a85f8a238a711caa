"""Two bots of one answer each: the SDK's, and one that forgets what was acknowledged.

Both note what they were told is stored. `Trusting` keeps to the protocol but for one thing: an
acknowledged chunk is gone from its memory, so it is never sent again. What is missing of such an
answer in the end is what the ACK was worth by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from relay.wire import bot_messages as wire
from relay_sdk import Bot, Command, ConnectionTimes, ReplyClosed

PACE_S: Final = 0.008
"""Between two chunks."""

TIMES: Final = ConnectionTimes(first_delay_s=0.05, delay_max_s=0.5, close_timeout_s=0.2)


def piece(number: int) -> str:
    """Return the text of one chunk; none is part of another."""
    return f"<{number}>"


@dataclass(slots=True)
class Said:
    """What one bot has said, and what it was told."""

    chunks: int
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    acked: set[int] = field(default_factory=set)
    outcome: str = ""

    def told(self, next_sequence: int, received: Sequence[Sequence[int]]) -> None:
        """Note what an ACK says. It is about what was sent, so it says nothing of the rest."""
        self.acked.update(range(min(next_sequence, self.sent)))
        for first, last in received:
            self.acked.update(range(first, last + 1))


class OneAnswer(Protocol):
    """A bot that answers one question."""

    @property
    def said(self) -> Said:
        """What was said, and what was told."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        ...


class _Noting(Bot):
    """The SDK's bot, which notes the ACKs that it takes."""

    heard: Callable[[wire.Acked], None]

    def on_message(self, message: wire.Outbound) -> None:
        if isinstance(message, wire.Acked):
            self.heard(message)
        super().on_message(message)


class SdkAnswer:
    """The SDK as it is."""

    def __init__(self, url: str, token: str, chunks: int) -> None:
        self.said = Said(chunks)
        self._bot = _Noting(url, token, times=TIMES, name="durability")
        self._bot.heard = lambda acked: self.said.told(acked.next_sequence, acked.received)
        self._bot.on_command(self._answer)

    async def _answer(self, command: Command) -> None:
        reply = self._bot.reply(command)
        with suppress(ReplyClosed):
            async with reply:
                for number in range(self.said.chunks):
                    await reply.write(piece(number))
                    self.said.sent = number + 1
                    self.said.begun.set()
                    await asyncio.sleep(PACE_S)
        self.said.outcome = (await reply.closed()).outcome

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        async with self._bot:
            await stop.wait()
            await self._bot.stop(grace_s=0.0)


class Trusting:
    """Protocol 2 by hand, for one answer; what was acknowledged is forgotten."""

    def __init__(self, url: str, token: str, chunks: int) -> None:
        self.said = Said(chunks)
        self._url = url.replace("http://", "ws://") + "/cable"
        self._token = token
        self._identifier = json.dumps({"channel": "BotChannel", "protocol": 2, "sdk": "trusting/1"})
        self._command: dict[str, Any] = {}
        self._ready = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._over = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop, over as many connections as it takes."""
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._connect())
        await stop.wait()
        for task in (writer, reader):
            task.cancel()
        await asyncio.wait([writer, reader])

    async def _connect(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        while True:
            with suppress(WebSocketException, OSError, TimeoutError):
                async with connect(
                    self._url, additional_headers=headers, compression=None, open_timeout=5,
                    close_timeout=0.2, ping_interval=None, proxy=None,
                ) as socket:  # fmt: skip
                    await self._put(socket, {"command": "subscribe"})
                    while True:
                        async with asyncio.timeout(9):
                            frame = json.loads(await socket.recv())
                        if isinstance(message := frame.get("message"), dict):
                            await self._take(socket, message)
            self._socket = None
            await asyncio.sleep(0.1)

    async def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        mine = self._command.get("metadata", {}).get("session_id")
        match message["type"]:
            case "connected":
                self._socket = socket
                if mine is not None and not self._over.is_set():
                    await self._resume(socket, mine, message["streams"])
            case "execute_command" if not self._command:
                self._command = message
                self._ready.set()
            case "ack" if message["session_id"] == mine:
                self.said.told(message["next_sequence"], message["received"])
            case "missing" if message["session_id"] == mine:
                for first, last in message["ranges"]:
                    for number in range(first, last + 1):
                        await self._chunk(socket, number)
            case "stream_closed" if message["session_id"] == mine:
                self._end(message["outcome"])
            case "refused" if message["code"] == "unknown_stream" and mine is not None:
                self._end("lost")
            case _:
                pass

    def _end(self, outcome: str) -> None:
        self.said.outcome = self.said.outcome or outcome
        self._over.set()

    async def _resume(
        self, socket: ClientConnection, mine: str, streams: list[dict[str, Any]]
    ) -> None:
        listed = {stream["session_id"]: stream for stream in streams}
        if listed.get(mine, {}).get("status") == "closed":
            self._end(listed[mine]["outcome"])
            return
        if mine not in listed:
            voucher = self._command.get("resume", "")
            await self._say(
                socket, {"type": "stream_resume", "session_id": mine, "resume": voucher}
            )
        for number in range(self.said.sent):
            await self._chunk(socket, number)
        if self.said.sent == self.said.chunks:
            await self._finish(socket)

    async def _write(self) -> None:
        await self._ready.wait()
        for number in range(self.said.chunks):
            if self._over.is_set():
                return
            self.said.sent = number + 1
            if (socket := self._socket) is not None:
                with suppress(WebSocketException, OSError):
                    await self._chunk(socket, number)
            self.said.begun.set()
            await asyncio.sleep(PACE_S)
        while not self._over.is_set():
            # What was not acknowledged is sent again, and the end repeated, until it is closed.
            if (socket := self._socket) is not None:
                with suppress(WebSocketException, OSError):
                    await self._finish(socket)
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._over.wait()
            if (socket := self._socket) is not None and not self._over.is_set():
                with suppress(WebSocketException, OSError):
                    for number in range(self.said.chunks):
                        await self._chunk(socket, number)

    async def _chunk(self, socket: ClientConnection, number: int) -> None:
        if number not in self.said.acked:
            chunk = {"type": "stream_chunk", "sequence": number, "content": piece(number)}
            await self._say(socket, chunk)

    async def _finish(self, socket: ClientConnection) -> None:
        await self._say(socket, {"type": "stream_end", "total_chunks": self.said.chunks})

    async def _say(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        mine = self._command["metadata"]["session_id"]
        data = json.dumps({"session_id": mine, **message})
        await self._put(socket, {"command": "message", "data": data})

    async def _put(self, socket: ClientConnection, frame: dict[str, str]) -> None:
        await socket.send(json.dumps({"identifier": self._identifier, **frame}))
