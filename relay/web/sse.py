"""A subscription as a Server-Sent Events response.

sse-starlette carries the response (keep-alives, send deadline, disconnects); the bytes come
from our own encoder, once per entry and device protocol, however many devices read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from relay.errors import RelayError
from relay.logs import get_logger
from relay.web.admission import keep_place
from relay.web.fast.framing import Framing
from relay.web.fast.http import FastHttp, stream_in
from relay.web.fast.keep_alive import KeepAlive
from relay.web.fast.live_response import Common, LiveResponse
from relay.web.fast.passes import Passes
from relay.wire import sse

if TYPE_CHECKING:
    from relay.node.subscriber import Subscription

_logger = get_logger(__name__)

SEND_TIMEOUT_S = 5.0
"""A device that takes none of a write for this long is let go: it can come back by position."""

STREAM_MAX_AGE_S = 3_600.0
"""A response is ended after this, whatever happens: a half-open device must not stay for ever."""

EVENT_STREAM: Mapping[str, str] = {"Content-Type": "text/event-stream; charset=utf-8"}

SSE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


def _no_words(_: RelayError) -> bytes:
    return b""


def stream_prelude(stream_id: str) -> bytes:
    """The first bytes of every device stream: it names itself, in a comment."""
    return sse.comment(f"stream {stream_id}")


class Responder:
    """Writes subscriptions as responses, and can end them all when the relay goes away."""

    __slots__ = (
        "_common", "_drain_s", "_framing", "_idle", "_keep_alive", "_keepalive_s", "_live", "_open",
    )  # fmt: skip

    def __init__(self, *, keepalive_s: float, drain_s: float, passes: Passes | None = None) -> None:
        self._keepalive_s = keepalive_s
        self._framing = Framing()
        self._common = (
            None
            if passes is None
            else Common(
                passes=passes,
                framing=self._framing,
                send_timeout_s=SEND_TIMEOUT_S,
                max_age_s=STREAM_MAX_AGE_S,
                closed=self._closed,
            )
        )
        """None: there is no fast path."""
        self._keep_alive: KeepAlive | None = None
        self._drain_s = drain_s
        self._open: set[asyncio.Timeout] = set()
        """Those whose application waits in `respond`."""
        self._live: dict[LiveResponse, Callable[[], None]] = {}
        """Those that write themselves, and what gives their places back."""
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def open_count(self) -> int:
        """How many responses are being written."""
        return len(self._open) + len(self._live)

    async def idle(self) -> None:
        """Wait until no response is being written."""
        await self._idle.wait()

    def end_all(self) -> None:
        """Cut every response that is still open, as the last step of a drain."""
        now = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now)
        for live in tuple(self._live):
            live.let_go()

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
        failure: Callable[[RelayError], bytes] = _no_words,
    ) -> None:
        """Write the subscription until it ends, the device leaves, or a limit is reached.

        On the fast path it returns before that, and the response goes on by itself. Closes the
        subscription in every case. That is done here and not in the generator, whose `finally`
        never runs where the device left before its first byte. `lead` are lines of the first
        event. `failure` makes the last words where the log cannot be read any more.
        """
        stream = stream_in(scope) if self._common is not None else None
        goes_on = False
        try:
            async with self._limited() as limit:
                if stream is not None:
                    limit.reschedule(asyncio.get_running_loop().time() + SEND_TIMEOUT_S)
                    await send(_head({**EVENT_STREAM, **SSE_HEADERS, **headers}))
                    await send({"type": "http.response.body", "body": prelude, "more_body": True})
                    goes_on = self._go_live(stream, subscription, scope, lead, failure)
                else:
                    response = EventSourceResponse(
                        _body(subscription, prelude, lead, failure),
                        headers={**SSE_HEADERS, **headers},
                        ping=self._keepalive_s,
                        ping_message_factory=_KeepAliveComment,
                        sep="\n",
                        send_timeout=SEND_TIMEOUT_S,
                        shutdown_grace_period=self._drain_s,
                    )
                    await response(scope, receive, send)
        except TimeoutError:
            # Of the age, of the drain, or sse-starlette's of one write; all say: let it go.
            _logger.info("device_let_go", **subscription.view.names)
        finally:
            if not goes_on:
                subscription.close()

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[asyncio.Timeout]:
        """Whatever happens within can be ended, and is not idle."""
        async with asyncio.timeout(STREAM_MAX_AGE_S) as limit:
            self._open.add(limit)
            self._idle.clear()
            try:
                yield limit
            finally:
                self._open.discard(limit)
                self._note_idle()

    def _go_live(
        self,
        stream: FastHttp,
        subscription: Subscription,
        scope: Scope,
        lead: bytes,
        failure: Callable[[RelayError], bytes],
    ) -> bool:
        """Let a response go on without a task; False where its device is gone already."""
        assert self._common is not None
        live = LiveResponse(subscription, stream, self._common, lead=lead, failure=failure)
        if not stream.claim(live):
            return False
        self._live[live] = keep_place(scope)
        self._keeping_alive().add(live)
        live.begin()
        return True

    def _closed(self, live: LiveResponse) -> None:
        self._keeping_alive().remove(live)
        give_place_back = self._live.pop(live)
        give_place_back()
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._open and not self._live:
            self._idle.set()

    def _keeping_alive(self) -> KeepAlive:
        if self._keep_alive is None:
            comment = self._framing.chunk_of(_KeepAliveComment().encode())
            call_later = asyncio.get_running_loop().call_later
            self._keep_alive = KeepAlive(comment, every_s=self._keepalive_s, call_later=call_later)
        return self._keep_alive


def _head(headers: Mapping[str, str]) -> Message:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": raw}


def _cut_off(
    subscription: Subscription, error: RelayError, failure: Callable[[RelayError], bytes]
) -> bytes:
    names = subscription.view.names
    _logger.warning("device_cut_off", **names, reason=type(error).__name__)
    return failure(error)


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
            yield _cut_off(subscription, error, failure)
            return
        if batch.data:
            yield lead + batch.data
            lead = b""
        # Behind the yield: sse-starlette has handed the bytes to the socket.
        subscription.delivered()
        if batch.ended:
            return


class _KeepAliveComment(ServerSentEvent):
    """A comment, never an event: an id on it would move the cursor past events not yet sent.

    No blank line ends it: behind an event with an id httpx-sse (0.4) makes an empty event of that.
    """

    def encode(self) -> bytes:
        """See `ServerSentEvent`."""
        return b": keep-alive\n"
