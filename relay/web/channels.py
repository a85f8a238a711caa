"""The ActionCable channels that the relay has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from relay.clock import Clock
from relay.web import bot_channel, stream_channel
from relay.web.auth import BotIdentity, Directory, KeyIdentity
from relay.web.outbox import Outbox
from relay.wire.jsontext import JsonValue

if TYPE_CHECKING:
    from relay.node.node import Node


class Channel(Protocol):
    """A confirmed subscription."""

    async def perform(self, payload: Mapping[str, JsonValue]) -> None:
        """Act on one message. Typed refusals are answers, never exceptions."""
        ...

    async def close(self) -> None:
        """The subscription is over, or the socket is gone."""
        ...


class Channels:
    """Opens channels by the name in their identifier."""

    __slots__ = ("_clock", "_directory", "_node")

    def __init__(self, node: Node, directory: Directory, clock: Clock) -> None:
        self._node = node
        self._directory = directory
        self._clock = clock

    async def open(
        self,
        identifier: str,
        params: Mapping[str, JsonValue],
        caller: BotIdentity | KeyIdentity,
        outbox: Outbox,
        *,
        has_bot: bool,
    ) -> Channel | None:
        """Return the channel, or None where the caller may not have it or it does not exist.

        What a channel puts into the outbox before it returns is sent before the confirmation,
        as in the reference. `has_bot` says that this socket carries the bot already: a second
        subscription under another identifier would fence the first one on its own socket.
        """
        match params.get("channel"):
            case bot_channel.NAME if isinstance(caller, BotIdentity) and not has_bot:
                return await bot_channel.open_bot_channel(
                    self._node, self._clock, caller, identifier, params, outbox
                )
            case stream_channel.NAME:
                return await stream_channel.open_stream_channel(
                    self._node, self._directory, self._clock, identifier, params, outbox
                )
            case _:
                return None
