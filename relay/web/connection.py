"""One ActionCable connection: its subscriptions, and what each frame does to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, assert_never

from relay.limits.budget import Budget
from relay.limits.gate import Holder
from relay.logs import get_logger
from relay.node.bots import BotLink, StreamPort
from relay.protocol.events import Chunk, RefusalCode
from relay.web.auth import BotIdentity, KeyIdentity
from relay.web.bot_channel import BotChannel
from relay.web.cable_socket import SocketActor
from relay.web.channels import Channel, Channels
from relay.web.outbox import Outbox
from relay.wire import cable
from relay.wire.bot import verb
from relay.wire.jsontext import JsonValue

_logger = get_logger(__name__)

ID_CHARS_MAX = 64

STREAM_VERBS: Final = frozenset(
    {
        *("stream_chunk", "stream_end", "stream_error"),
        *("stream_resume", "stream_start", "stream_summary"),
    }
)
"""What bots are there for. Whoever says very much else has lost its way."""


def names_of(caller: BotIdentity | KeyIdentity) -> dict[str, int]:
    """What each log line about a caller's socket carries."""
    if isinstance(caller, BotIdentity):
        return {"bot_id": caller.bot_id}
    return {"access_key_id": caller.key_id}


def holder_of(caller: BotIdentity | KeyIdentity) -> Holder:
    """Whose limits a caller's socket is under."""
    if isinstance(caller, BotIdentity):
        return "bot_id", caller.bot_id
    return "access_key_id", caller.key_id


class Connection(SocketActor):
    """The state of one socket between its upgrade and its close."""

    __slots__ = (
        *("_bot", "_bot_identifier", "_budget", "_caller", "_channels", "_names", "_now"),
        *("_open", "_outbox", "_server"),
    )

    def __init__(
        self,
        caller: BotIdentity | KeyIdentity,
        channels: Channels,
        outbox: Outbox,
        budget: Budget,
        now: Callable[[], float],
    ) -> None:
        self._caller = caller
        self._names = names_of(caller)
        self._channels = channels
        self._outbox = outbox
        self._budget = budget
        self._now = now
        self._server = cable.CableServer()
        self._open: dict[str, Channel] = {}
        self._bot: BotLink | None = None
        """Of the channel by which this socket carries a bot, of which there is one at most."""
        self._bot_identifier = ""

    def charge(self, size: int, frames: int = 1) -> float:
        """Pay for frames of this many bytes. Returns how long not to read the next, in seconds."""
        return self._budget.charge(frames, size, self._now())

    async def receive(self, raw: str) -> None:
        """Act on one text frame. What a closing connection still receives is void."""
        for event in self._server.receive(raw):
            if self._outbox.closing:
                return
            if not isinstance(event, cable.Perform) and not self._may_command():
                return
            match event:
                case cable.Perform():
                    await self._perform(event)
                case cable.Subscribe():
                    await self._subscribe(event)
                case cable.Unsubscribe():
                    await self._unsubscribe(event)
                case cable.Reply():
                    self._outbox.put(event.frame)
                case cable.Refusal():
                    self._outbox.put(cable.refused(event))
                case _:
                    assert_never(event)

    def open_stream(self, identifier: str, stream_id: str) -> StreamPort | None:
        """Return the stream if its chunks may go to `receive_chunks`."""
        bot = self._bot
        if bot is None or identifier != self._bot_identifier:
            return None
        return bot.open_stream(stream_id)

    def receive_chunks(self, stream: StreamPort, chunks: Sequence[Chunk]) -> Awaitable[None] | None:
        """Act on chunks of one stream that came together, as `receive` does on one frame each.

        Returns what to await before the next frame. `open_stream` has just returned the stream.
        """
        bot = self._bot
        if bot is None or self._outbox.closing:
            return None
        try:
            return bot.receive_chunks(stream, chunks)
        except Exception:
            names = self._names_of_message(stream.stream_id, "stream_chunk")
            _logger.exception("message_failed", **names)
            self._outbox.put(_system_error(self._bot_identifier))
            return None

    def refuse_binary(self) -> None:
        """Answer a binary frame: the protocol has none."""
        if not self._may_command():
            return
        refusal = cable.Refusal(
            RefusalCode.INVALID_PAYLOAD, None, "frames are text frames of JSON, not binary"
        )
        self._outbox.put(cable.refused(refusal))

    async def close(self) -> None:
        """The socket is gone: end every subscription. Never raises."""
        self._bot = None
        while self._open:
            _, channel = self._open.popitem()
            try:
                await channel.close()
            except Exception:
                _logger.exception("channel_not_closed", **self._names)

    def _may_command(self) -> bool:
        """Pay for what is no message of a stream. Who cannot is let go, and told when to return."""
        refusal = self._budget.command(self._now())
        if refusal is None:
            return True
        retry_s = refusal.retry_after_s
        self._outbox.close(cable.disconnect("rate_limited", reconnect=True, retry_after_s=retry_s))
        return False

    async def _perform(self, event: cable.Perform) -> None:
        payload = event.payload
        name = verb(payload) if "action" in payload else payload.get("type")
        if name not in STREAM_VERBS and not self._may_command():
            return
        channel = self._open.get(event.identifier)
        if channel is None:
            return
        try:
            await channel.perform(payload)
        except Exception:
            # A bug of ours: this message is lost, its neighbours are not.
            names = self._names_of_message(payload.get("session_id"), verb(payload))
            _logger.exception("message_failed", **names)
            self._outbox.put(_system_error(event.identifier))

    def _names_of_message(self, stream_id: JsonValue, name: str) -> dict[str, JsonValue]:
        return {**self._names, "stream_id": _id(stream_id), "verb": name[:ID_CHARS_MAX]}

    async def _subscribe(self, event: cable.Subscribe) -> None:
        channel: Channel | None = None
        try:
            channel = await self._channels.open(
                event.identifier,
                event.params,
                self._caller,
                self._outbox,
                has_bot=self._bot is not None,
            )
        except Exception:
            stream_id = _id(event.params.get("session_id"))
            _logger.exception("subscription_failed", **self._names, stream_id=stream_id)
        if channel is None:
            self._outbox.put(self._server.reject(event.identifier))
            return
        self._open[event.identifier] = channel
        if isinstance(channel, BotChannel):
            self._bot, self._bot_identifier = channel.link, event.identifier
        self._outbox.put(self._server.confirm(event.identifier))

    async def _unsubscribe(self, event: cable.Unsubscribe) -> None:
        channel = self._open.pop(event.identifier, None)
        if channel is not None:
            if isinstance(channel, BotChannel):
                self._bot = None
            await channel.close()


def _id(given: JsonValue) -> str | None:
    return given[:ID_CHARS_MAX] if isinstance(given, str) else None


def _system_error(identifier: str) -> str:
    """The answer to what we could not act on, in the reference's shape, without internals.

    Source: reference wire.md, 1.2.
    """
    return cable.message(
        identifier,
        {"type": "system-error", "message": "internal error", "channel": "", "action": ""},
    )
