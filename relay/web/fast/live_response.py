"""A subscription as the body of a response, written when the log grows and not by a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import Context
from typing import TYPE_CHECKING

from relay.node.subscriber import READ_ENTRIES_MAX, Batch
from relay.web.fast.http import Framing, Stream
from relay.web.fast.passes import Passes

if TYPE_CHECKING:
    from relay.node.subscriber import Subscription


class LiveResponse:
    """A `StreamUser`: one reader of one stream.

    It ends (see `ended`) when the stream has, when the device is gone, or with an error where the
    log cannot be read, or where the device takes nothing of what was written for
    `send_timeout_s`. `lead` are lines of the first event.
    """

    __slots__ = (
        "_done",
        "_due",
        "_fetching",
        "_framing",
        "_is_quiet",
        "_lead",
        "_loop",
        "_missed",
        "_passes",
        "_send_timeout_s",
        "_stream",
        "_subscription",
        "_timer",
    )

    def __init__(
        self,
        subscription: Subscription,
        stream: Stream,
        *,
        passes: Passes,
        framing: Framing,
        lead: bytes,
        send_timeout_s: float,
    ) -> None:
        self._subscription = subscription
        self._stream = stream
        self._passes = passes
        self._framing = framing
        self._lead = lead
        self._send_timeout_s = send_timeout_s
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[bool] = self._loop.create_future()
        self._fetching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._missed = False
        """Whether there was news while a batch was fetched."""
        self._is_quiet = False
        subscription.on_news = self._news
        self._news()

    async def ended(self) -> bool:
        """Wait for the end; returns whether the device is still there.

        Raises `RelayError` where the log cannot be read, `TimeoutError` where the device is slow.
        """
        return await self._done

    def close(self) -> None:
        """Write nothing more."""
        if not self._done.cancel() and not self._done.cancelled():
            self._done.exception()  # known to whoever waited for it, or of no use to anybody
        if self._fetching is not None:
            self._fetching.cancel()
        self._stop_waiting()
        self._stream.release()

    def keep_alive(self, comment: bytes) -> None:
        """See `Quiet.keep_alive`."""
        if self._is_quiet and not self._stream.is_full and not self._done.done():
            self._stream.write(comment)
            self._is_quiet = False
        else:
            self._is_quiet = True

    # --- from the socket: see `StreamUser` ----------------------------------------------------

    def may_write(self) -> None:
        """See `StreamUser.may_write`."""
        self._stop_waiting()
        self._news()

    def must_wait(self) -> None:
        """See `StreamUser.must_wait`."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._send_timeout_s, self._too_slow)

    def lost(self) -> None:
        """See `StreamUser.lost`."""
        if not self._done.done():
            self._done.set_result(False)

    # --- from the log -------------------------------------------------------------------------

    def _news(self) -> None:
        if not self._due:
            self._due = True
            self._passes.soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        if self._fetching is not None:
            self._missed = True
            return
        if self._stream.is_full or self._done.done():
            return
        try:
            batch = self._subscription.poll()
            if isinstance(batch, Batch):
                self._write(batch)
                return
        except Exception as error:  # noqa: BLE001 - `ended` raises it: the response has to end
            self._fail(error)
            return
        if batch is not None:
            self._fetching = self._loop.create_task(self._fetch(batch), context=Context())

    async def _fetch(self, fetched: Awaitable[Batch | None]) -> None:
        try:
            batch = await fetched
            if batch is not None and not self._done.done():
                self._write(batch)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        finally:
            self._fetching = None
            if self._missed:
                self._missed = False
                self._news()

    def _write(self, batch: Batch) -> None:
        if batch.data:
            data = batch.data
            if self._lead:
                data, self._lead = self._lead + data, b""
            self._is_quiet = False
            self._stream.write(self._framing.chunk_of(data))
        self._subscription.delivered(batch)
        if batch.ended:
            self._done.set_result(True)
        elif len(batch.entries) >= READ_ENTRIES_MAX:
            self._news()

    def _too_slow(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
