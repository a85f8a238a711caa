"""One answer, as the bot's author writes it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from relay_sdk.errors import ReplyClosed, UsageError
from relay_sdk.streams import ReplyOutcome, Stream, Streams

_ERROR_CHARS_MAX = 2_000


class Reply:
    """The answer to one command: `async with bot.reply(command) as reply`.

    Leaving the block ends the answer; leaving it by an exception tells the device that the
    answer failed. Delivery goes on behind it: what is not acknowledged is sent again, over
    as many connections as it takes. `closed()` waits for the outcome.
    """

    def __init__(self, stream: Stream, streams: Streams) -> None:
        self._stream = stream
        self._streams = streams
        self._opened = False
        self._cancelled = False

    @property
    def stream_id(self) -> str:
        """The stream's id, as the relay's traces name it."""
        return self._stream.id

    @property
    def opened(self) -> bool:
        """Whether anything was done with this reply."""
        return self._opened

    @property
    def outcome(self) -> ReplyOutcome | None:
        """The outcome if it is known already."""
        return self._stream.outcome

    async def write(self, text: str) -> None:
        """Send text. Waits while the relay cannot take more.

        Raises `ReplyClosed` where the relay has closed the answer, and `UsageError` after
        the answer's end.
        """
        self._opened = True
        await self._stream.room()
        if (outcome := self._stream.outcome) is not None:
            raise ReplyClosed(outcome.outcome)
        if self._stream.sender.ended:
            raise UsageError("this reply has ended; write before the end of its `async with` block")
        self._streams.write(self._stream, text)

    async def end(self) -> None:
        """End the answer. The end of the `async with` block does it, too."""
        self._opened = True
        self._streams.end(self._stream)

    async def fail(self, error: str) -> None:
        """End the answer as failed. `error` is for the relay's trace, not for the device."""
        self._opened = True
        if not self._cancelled:
            self._streams.abort(self._stream, error[:_ERROR_CHARS_MAX])

    def cancelled(self) -> None:
        """The relay has taken the question back and is about to close the stream itself."""
        self._cancelled = True

    async def closed(self) -> ReplyOutcome:
        """Wait until the relay has closed the stream, and return how it ended.

        Call it after the end of the answer; it needs no timeout, because an outcome that
        never comes is `lost`.
        """
        return await asyncio.shield(self._stream.settled)

    async def __aenter__(self) -> Self:
        self._opened = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.end()
        else:
            # The text of an exception may hold a key or an address; its name does not.
            await self.fail(kind.__name__)
