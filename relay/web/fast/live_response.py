"""A subscription as the body of a response, written when the log grows and not by a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

from relay.errors import RelayError
from relay.logs import get_logger
from relay.node.subscriber import Feed, Reader
from relay.web.fast.framing import Framing
from relay.web.fast.http import Stream
from relay.web.fast.passes import Passes

_logger = get_logger(__name__)


class _DeviceGone(Exception):
    """There is nobody to write to."""


@dataclass(frozen=True, slots=True)
class Common:
    """What all responses of one responder have in common."""

    passes: Passes
    framing: Framing
    send_timeout_s: float
    """A device that takes nothing of what was written for so long is let go."""
    max_age_s: float
    """And so is one that has read for so long, as soon as it is asked to be kept alive."""
    closed: Callable[[LiveResponse], None]
    """Told once of each that has ended."""


class LiveResponse(Reader):
    """A `StreamUser`: one reader of one stream, from its claim to its end.

    It ends by itself: with the stream, with the device, with an error where the log cannot be read
    (`failure` makes the last words), when it is too old, or where the device is too slow. Then the
    subscription is closed. `lead` are lines of the first event.
    """

    __slots__ = (
        "_common",
        "_failure",
        "_fetching",
        "_is_due",
        "_is_ending",
        "_is_open",
        "_is_quiet",
        "_lead",
        "_loop",
        "_missed",
        "_out",
        "_stream",
        "_subscription",
        "_timer",
        "_until",
    )

    def __init__(
        self,
        subscription: Feed,
        stream: Stream,
        common: Common,
        *,
        lead: bytes,
        failure: Callable[[RelayError], bytes],
    ) -> None:
        self._subscription = subscription
        self._stream = stream
        self._out = stream.out
        self._common = common
        self._lead = lead
        self._failure = failure
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + common.max_age_s
        self._fetching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._is_open = True
        self._is_ending = False
        """Whether all is written, and the socket has not taken it yet."""
        self._missed = False
        """Whether there was news while a batch was fetched."""
        self._is_quiet = False

    def begin(self) -> None:
        """Write what is there, and from now on what comes."""
        self._subscription.tell(self)
        self.news()

    def let_go(self) -> None:
        """Cut it: whoever reads can come back by position."""
        self._end(TimeoutError())

    def keep_alive(self, comment: bytes) -> None:
        """See `Quiet.keep_alive`."""
        if self._loop.time() >= self._until:
            self.let_go()
        elif self._is_quiet and not self._stream.is_full and self._is_open:
            self._out.write(comment)
            self._is_quiet = False
        else:
            self._is_quiet = True

    # --- from the socket: see `StreamUser` ----------------------------------------------------

    def may_write(self) -> None:
        """See `StreamUser.may_write`."""
        self._stop_waiting()
        if self._is_ending:
            self._end()
        else:
            self.news()

    def must_wait(self) -> None:
        """See `StreamUser.must_wait`."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._common.send_timeout_s, self.let_go)

    def lost(self) -> None:
        """See `StreamUser.lost`."""
        self._end(_DeviceGone())

    # --- from the log -------------------------------------------------------------------------

    def news(self) -> None:
        """See `Reader.news`."""
        if not self._is_due:
            self._is_due = True
            self._common.passes.soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        if self._fetching is not None:
            self._missed = True
            return
        # Whom the socket made wait has a timer. To ask the socket itself is two cache lines.
        if self._timer is not None or not self._is_open or self._is_ending:
            return
        try:
            data = self._subscription.poll()
            if isinstance(data, bytes):
                self._write(data)
                return
        except Exception as error:  # noqa: BLE001 - a bug of ours: the response has to end
            self._end(error)
            return
        if data is not None:
            self._fetching = self._loop.create_task(self._fetch(data), context=Context())

    async def _fetch(self, fetched: Awaitable[bytes | None]) -> None:
        try:
            data = await fetched
            if data is not None and self._is_open:
                self._write(data)
        except Exception as error:  # noqa: BLE001 - as above
            self._end(error)
        finally:
            self._fetching = None
            if self._missed:
                self._missed = False
                self.news()

    def _write(self, data: bytes) -> None:
        if data:
            if self._lead:
                data, self._lead = self._lead + data, b""
            self._is_quiet = False
            self._out.write(self._common.framing.chunk_of(data))
        self._subscription.delivered()
        if self._subscription.finished:
            self._is_ending = True
            if not self._stream.is_full:
                self._end()

    # --- the end --------------------------------------------------------------------------------

    def _end(self, error: Exception | None = None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._fetching is not None and self._fetching is not asyncio.current_task():
            # In the next pass, when it has begun: what it was given to await would never be, else.
            self._loop.call_soon(self._fetching.cancel)
        self._stop_waiting()
        try:
            self._finish(error)
        finally:
            self._subscription.close()
            self._common.closed(self)

    def _finish(self, error: Exception | None) -> None:
        names = self._subscription.view.names
        match error:
            case None:
                self._stream.finish(b"")
            case _DeviceGone():
                pass
            case TimeoutError():
                _logger.info("device_let_go", **names)
                self._stream.cut()
            case RelayError():
                _logger.warning("device_cut_off", **names, reason=type(error).__name__)
                self._stream.finish(self._failure(error))
            case _:
                _logger.error("response_failed", **names, exc_info=error)
                self._stream.cut()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
