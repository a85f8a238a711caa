"""A bot's connection to the fake relay: frames in and out, with the relay's own wire code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from relay.wire import cable
from relay.wire.bot import (
    RELIABLE,
    Outbound,
    PayloadRefused,
    Ping,
    Pong,
    Refused,
    Resume,
    StreamMessage,
    decode,
    encode,
)
from relay.wire.jsontext import JsonValue

PING_S = 3.0


class Host(Protocol):
    """What a connection needs of its relay."""

    def attach(self, connection: FakeConnection) -> None:
        """The bot has subscribed; the connection speaks for it now."""
        ...

    def detach(self, connection: FakeConnection) -> None:
        """The connection broke."""
        ...

    def receive(self, message: StreamMessage | Resume) -> None:
        """Take what the bot says about an answer."""
        ...


class FakeConnection:
    """One socket of a bot. What is sent leaves in its order, by one task."""

    def __init__(self, host: Host, socket: ServerConnection) -> None:
        self._host = host
        self._socket = socket
        self._cable = cable.CableServer()
        self._identifier = ""
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._closing = False
        self._broken = False

    @property
    def is_open(self) -> bool:
        """Whether the bot can still be told something; a break is known before it is noticed."""
        return not (self._closing or self._broken) and self._socket.state is State.OPEN

    def send(self, message: Outbound) -> None:
        """Queue one message for the bot."""
        payload = encode(message, RELIABLE, now_iso="")
        if payload is not None:
            self._put(cable.message(self._identifier, payload))

    def close(self, reason: str, *, reconnect: bool) -> None:
        """Say why, behind what is queued, and close. What still comes in is not for us."""
        self._closing = True
        self._put(cable.disconnect(reason, reconnect=reconnect))
        self._outbox.put_nowait(None)

    def cut(self) -> None:
        """Break the connection: no goodbye, and what is queued is lost."""
        self._broken = True
        self._socket.transport.abort()

    async def serve(self) -> None:
        """Read until the connection is closed."""
        self._put(cable.welcome())
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._ping())]
        try:
            with suppress(ConnectionClosed):
                async for raw in self._socket:
                    self._receive(raw if isinstance(raw, str) else raw.decode("utf-8", "replace"))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._host.detach(self)

    def _receive(self, raw: str) -> None:
        if self._closing:
            return
        for event in self._cable.receive(raw):
            match event:
                case cable.Subscribe(identifier, params):
                    self._subscribe(identifier, params)
                case cable.Unsubscribe():
                    self._host.detach(self)
                case cable.Perform(_, payload):
                    self._perform(payload)
                case cable.Reply(frame):
                    self._put(frame)
                case cable.Refusal():
                    self._put(cable.refused(event))

    def _subscribe(self, identifier: str, params: Mapping[str, JsonValue]) -> None:
        if params.get("channel") != "BotChannel" or params.get("protocol") != RELIABLE:
            self._put(self._cable.reject(identifier))
            return
        self._identifier = identifier
        self._host.attach(self)
        self._put(self._cable.confirm(identifier))

    def _perform(self, payload: Mapping[str, JsonValue]) -> None:
        try:
            message = decode(payload)
        except PayloadRefused as error:
            refused = Refused(error.stream_id, error.sequence, error.code, error.message)
            self.send(refused)
            return
        if isinstance(message, StreamMessage | Resume):
            self._host.receive(message)
        elif isinstance(message, Ping):
            self.send(Pong())

    def _put(self, frame: str) -> None:
        self._outbox.put_nowait(frame)

    async def _write(self) -> None:
        with suppress(ConnectionClosed):
            while (frame := await self._outbox.get()) is not None:
                await self._socket.send(frame)
        await self._socket.close()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            self._put(cable.ping(time.time()))
