"""The sockets of bots: what a link does to frames, and what a shell of the relay does at its end.

A frame is the payload of docs/protocol.md, encoded and decoded by both ends' real code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from relay.errors import RelayError
from relay.node.bots import BotLink
from relay.node.decisions import Stored
from relay.node.node import Node
from relay.wire.bot import (
    RELIABLE,
    Acked,
    Connected,
    Outbound,
    PayloadRefused,
    Refused,
    Resume,
    StreamMessage,
    decode,
    encode,
)
from relay.wire.jsontext import JsonValue
from tests.simulation.facts import BotCame, BotLeft, Heard, Ledger, Told
from tests.simulation.plan import CLEAR, Weather

Payload = Mapping[str, JsonValue]

NOW_ISO = "2026-02-27T10:00:00+08:00"


class BotEnd(Protocol):
    """A bot's end of a socket."""

    def on_payload(self, payload: Payload) -> None:
        """A frame came."""
        ...

    def on_closed(self, reason: str, *, reconnect: bool) -> None:
        """The socket is closed: by the relay with a reason, or broken (no reason)."""
        ...


class Socket:
    """One connection of a bot to one node, and the `BotTransport` of that node."""

    def __init__(
        self,
        number: int,
        node: Node,
        *,
        bot_id: int,
        protocol: int,
        end: BotEnd,
        weather: Callable[[], Weather],
        random: Random,
        ledger: Ledger,
    ) -> None:
        self.number = number
        self.is_open = True
        """Whether anything still gets through."""
        self._node = node
        self._bot_id = bot_id
        self._protocol = protocol
        self._end = end
        self._weather = weather
        self._random = random
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._last_at = {"up": 0.0, "down": 0.0}
        self._inbox: asyncio.Queue[Payload] = asyncio.Queue()
        self._link: BotLink | None = None
        self._known_gone = False
        self._dead = False
        self._task = asyncio.create_task(self._serve())

    # --- the bot's end --------------------------------------------------------------------

    def say(self, payload: Payload) -> None:
        """Send a frame to the relay."""
        self._carry("up", lambda: self._inbox.put_nowait(payload))

    def hang_up(self, relay_notices_s: float) -> None:
        """Break the connection; the relay's end is told so much later."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.call_soon(lambda: self._end.on_closed("", reconnect=True))
        self._loop.call_later(relay_notices_s, self._notice)

    def cut(self) -> None:
        """The node is dead: nobody notices anything there, and it says nothing more."""
        self._dead = True
        self._task.cancel()
        self._gone()
        if self.is_open:
            self.is_open = False
            self._loop.call_soon(lambda: self._end.on_closed("", reconnect=True))

    # --- the relay's end --------------------------------------------------------------------

    def send(self, message: Outbound) -> None:
        """See `BotTransport.send`."""
        if self._dead:
            return
        stream_id: str | None = getattr(message, "stream_id", None)
        self._ledger.note(stream_id, Told(self.number, message))
        payload = encode(message, self._protocol, now_iso=NOW_ISO)
        if payload is None:
            return
        greeting = isinstance(message, Connected)
        self._carry("down", lambda: self._end.on_payload(payload), surely=greeting)

    def acknowledge(self, stream_id: str, last: int, count: int, stored: Stored) -> None:
        """See `BotTransport.acknowledge`."""
        state = (stored.next_sequence, stored.received, stored.credit)
        first = last if self._protocol >= RELIABLE else last - count + 1
        for sequence in range(first, last + 1):
            self.send(Acked(stream_id, sequence, *state))

    def close(self, reason: str, *, reconnect: bool) -> None:
        """See `BotTransport.close`."""

        def arrive() -> None:
            self.is_open = False
            self._end.on_closed(reason, reconnect=reconnect)
            self._notice()

        self._carry("down", arrive, surely=True)

    async def _serve(self) -> None:
        self._ledger.note(None, BotCame(self.number, self._bot_id, self._protocol))
        try:
            self._link = await self._node.attach_bot(
                self._bot_id, protocol=self._protocol, sdk="sim/1", transport=self
            )
        except RelayError:
            self.hang_up(0.0)
            return
        if not self.is_open:
            self._link.detach()
            return
        while True:
            await self._hear(self._link, await self._inbox.get())

    async def _hear(self, link: BotLink, payload: Payload) -> None:
        try:
            message = decode(payload, must_number=self._protocol > 1)
        except PayloadRefused as error:
            link.refuse(Refused(error.stream_id, error.sequence, error.code, error.message))
            return
        match message:
            case StreamMessage():
                self._ledger.note(message.stream_id, Heard(self.number, message.message))
                await link.receive(message)
            case Resume():
                await link.resume(message)
            case _:
                pass

    def _notice(self) -> None:
        self._task.cancel()
        if self._link is not None:
            self._link.detach()
        self._gone()

    def _gone(self) -> None:
        if not self._known_gone:
            self._known_gone = True
            self._ledger.note(None, BotLeft(self.number, self._bot_id))

    # --- on the way -------------------------------------------------------------------------

    def _carry(self, way: str, arrive: Callable[[], None], *, surely: bool = False) -> None:
        if not self.is_open:
            return
        weather = self._weather()
        if surely:
            weather = CLEAR if weather.jitter_s else weather
            copies = 1
        else:
            copies = 0 if self._random.random() < weather.drop else 1
            copies += self._random.random() < weather.duplicate

        def arrive_if_open() -> None:
            if self.is_open:
                arrive()

        for _ in range(copies):
            at = self._loop.time() + weather.latency_s
            if weather.jitter_s:
                at += self._random.random() * weather.jitter_s
            else:
                at = max(at, self._last_at[way] + 1e-7)
                self._last_at[way] = at
            self._loop.call_at(at, arrive_if_open)
