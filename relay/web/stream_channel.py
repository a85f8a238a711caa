"""RokidStreamChannel: a worker reads one stream over its WebSocket (reference wire.md, 1.6).

Unlike the reference's, it replays from the beginning: a worker subscribes after it triggered,
and what was said in between belongs to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context
from typing import TYPE_CHECKING

from relay.clock import Clock
from relay.devices.base import StreamView
from relay.devices.worker import to_object
from relay.errors import RelayError, RequestError
from relay.logs import get_logger
from relay.protocol.events import Entry, RefusalCode
from relay.web.auth import Directory
from relay.web.outbox import Outbox
from relay.wire import cable
from relay.wire.bot import verb
from relay.wire.jsontext import JsonValue
from relay.wire.timestamp import beijing_iso

if TYPE_CHECKING:
    from relay.node.node import Node
    from relay.node.subscriber import Subscription

_logger = get_logger(__name__)

NAME = "RokidStreamChannel"

_ID_DIGITS_MAX = 18
"""What fits a 64-bit column whatever the digits are."""


class WorkerProtocol:
    """A reader of entries: workers get objects, made for the session id that each one uses."""

    name = "worker"
    can_resume = True

    def encode(self, _entry: Entry, _view: StreamView) -> bytes:
        """Return nothing: the shell makes objects of the entries themselves."""
        return b""

    def encoder(self, _view: StreamView) -> SilentEncoder:
        """See `DeviceProtocol.encoder`."""
        return SilentEncoder()


class SilentEncoder:
    """See `WorkerProtocol.encode`."""

    def encode(self, _entry: Entry) -> bytes:
        """See `Encoder.encode`."""
        return b""


class StreamChannel:
    """A worker's confirmed subscription, with the task that reads the stream for it."""

    __slots__ = ("_clock", "_identifier", "_outbox", "_reader", "_session_id", "_subscription")

    def __init__(
        self,
        subscription: Subscription,
        *,
        identifier: str,
        session_id: str,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._subscription = subscription
        self._identifier = identifier
        self._session_id = session_id
        self._outbox = outbox
        self._clock = clock
        # A context of its own: what this task logs must not carry another request's names.
        self._reader = asyncio.create_task(self._read(), context=Context())

    async def perform(self, payload: Mapping[str, JsonValue]) -> None:
        """Answer `ping`; there is nothing else that a worker may ask for."""
        match verb(payload):
            case "ping":
                now_iso = beijing_iso(self._clock.now())
                self._put({"type": "pong", "timestamp": now_iso})
            case "pong":
                pass
            case name:
                refusal = cable.Refusal(
                    RefusalCode.UNKNOWN_ACTION, self._identifier, f"no such action: {name[:64]!r}"
                )
                self._outbox.put(cable.refused(refusal))

    async def close(self) -> None:
        """Stop reading; returns once nothing of the subscription is left."""
        self._reader.cancel()
        try:
            await asyncio.wait([self._reader])
        finally:
            # Here too: a task that was cancelled before its first step has run no `finally`.
            self._subscription.close()

    async def _read(self) -> None:
        try:
            while True:
                batch = await self._subscription.next()
                for entry in batch.entries:
                    shown = to_object(entry, self._subscription.view, session_id=self._session_id)
                    if shown is not None:
                        self._put(shown)
                # Waits for the socket, so that a slow worker holds one batch and not a stream.
                await self._outbox.drained()
                if self._outbox.closing:
                    return
                self._subscription.delivered()
                if batch.ended:
                    return
        except RelayError as error:
            names = self._subscription.view.names
            _logger.warning("worker_cut_off", **names, reason=type(error).__name__)
        except Exception:
            _logger.exception("worker_failed", **self._subscription.view.names)
        finally:
            self._subscription.close()

    def _put(self, payload: Mapping[str, JsonValue]) -> None:
        self._outbox.put(cable.message(self._identifier, payload))


async def open_stream_channel(
    node: Node,
    directory: Directory,
    clock: Clock,
    identifier: str,
    params: Mapping[str, JsonValue],
    outbox: Outbox,
) -> StreamChannel | None:
    """Subscribe a worker. None where a parameter is missing or wrong, or the stream not its own.

    The access key is checked again and must be the one that opened the stream: on the reference
    every key read every bot's streams.
    """
    access_key, session_id = params.get("access_key"), params.get("session_id")
    given_bot, bot_id = params.get("bot_id"), parse_bot_id(params.get("bot_id"))
    if not isinstance(access_key, str) or not isinstance(session_id, str) or bot_id is None:
        return None
    key = await directory.access_key(access_key)
    if key is None:
        return None
    try:
        stream_id = await node.find_stream(
            access_key_id=key.key_id, scope=key.scope, bot_id=bot_id, session_id=session_id
        )
        subscription = await node.subscribe(
            stream_id, WorkerProtocol(), access_key_id=key.key_id, scope=key.scope
        )
    except RequestError:
        # Unknown, another key's, or expired.
        return None
    connected: dict[str, JsonValue] = {
        "type": "connected",
        "bot_id": given_bot,
        "session_id": session_id,
        "channel": f"rokid_sse_{bot_id}_{session_id}",
        "timestamp": beijing_iso(clock.now()),
    }
    outbox.put(cable.message(identifier, connected))
    return StreamChannel(
        subscription, identifier=identifier, session_id=session_id, outbox=outbox, clock=clock
    )


def parse_bot_id(given: JsonValue) -> int | None:
    """Read a positive id, as a number or as digits."""
    if type(given) is int:
        return given if given > 0 else None
    if (
        isinstance(given, str)
        and given.isascii()
        and given.isdigit()
        and len(given) <= _ID_DIGITS_MAX
    ):
        return int(given) or None
    return None
