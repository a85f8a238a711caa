"""A subscription as a Server-Sent Events response.

sse-starlette carries the response (keep-alives, send deadline, disconnects); the bytes come
from our own encoder, once per entry and device protocol, however many devices read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from relay.errors import RelayError
from relay.logs import get_logger
from relay.wire import sse

if TYPE_CHECKING:
    from relay.node.subscriber import Subscription

_logger = get_logger(__name__)

SEND_TIMEOUT_S = 5.0
"""A device that takes none of a write for this long is let go: it can come back by position."""

STREAM_MAX_AGE_S = 3_600.0
"""A response is ended after this, whatever happens: a half-open device must not stay for ever."""

SSE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


def stream_prelude(stream_id: str) -> bytes:
    """The first bytes of every device stream: it names itself, in a comment."""
    return sse.comment(f"stream {stream_id}")


class Responder:
    """Writes subscriptions as responses, and can end them all when the relay goes away."""

    __slots__ = ("_drain_s", "_idle", "_keepalive_s", "_open")

    def __init__(self, *, keepalive_s: float, drain_s: float) -> None:
        self._keepalive_s = keepalive_s
        self._drain_s = drain_s
        self._open: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def open_count(self) -> int:
        """How many responses are being written."""
        return len(self._open)

    async def idle(self) -> None:
        """Wait until no response is being written."""
        await self._idle.wait()

    def end_all(self) -> None:
        """Cut every response that is still open, as the last step of a drain."""
        now = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now)

    async def respond(
        self,
        subscription: Subscription,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        prelude: bytes,
        headers: Mapping[str, str],
        lead: bytes = b"",
        failure: Callable[[RelayError], bytes] = lambda _: b"",
    ) -> None:
        """Write the subscription until it ends, the device leaves, or a limit is reached.

        Closes the subscription in every case. That is done here and not in the generator,
        whose `finally` never runs where the device left before its first byte. `lead` are lines
        of the first event. `failure` makes the last words where the log cannot be read any more.
        """
        limit: asyncio.Timeout | None = None
        try:
            response = EventSourceResponse(
                _body(subscription, prelude, lead, failure),
                headers={**SSE_HEADERS, **headers},
                ping=self._keepalive_s,
                ping_message_factory=_keepalive,
                sep="\n",
                send_timeout=SEND_TIMEOUT_S,
                shutdown_grace_period=self._drain_s,
            )
            async with asyncio.timeout(STREAM_MAX_AGE_S) as limit:
                self._open.add(limit)
                self._idle.clear()
                await response(scope, receive, send)
        except TimeoutError:
            # Of the age, of the drain, or sse-starlette's of one write; all say: let it go.
            _logger.info("device_let_go", **subscription.view.names)
        finally:
            if limit is not None:
                self._open.discard(limit)
            if not self._open:
                self._idle.set()
            subscription.close()


async def _body(
    subscription: Subscription,
    prelude: bytes,
    lead: bytes,
    failure: Callable[[RelayError], bytes],
) -> AsyncIterator[bytes]:
    yield prelude
    while True:
        try:
            batch = await subscription.next()
        except RelayError as error:
            names = subscription.view.names
            _logger.warning("device_cut_off", **names, reason=type(error).__name__)
            yield failure(error)
            return
        if batch.data:
            yield lead + batch.data
            lead = b""
        # Behind the yield: sse-starlette has handed the bytes to the socket.
        subscription.delivered(batch)
        if batch.ended:
            return


def _keepalive() -> ServerSentEvent:
    # A comment, never an event: an id on it would move the cursor past events not yet sent.
    return ServerSentEvent(comment="keep-alive", sep="\n")
