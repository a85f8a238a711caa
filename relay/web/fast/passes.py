"""One write per connection and pass of the event loop.

What one pass of the loop reads from all its sockets is acted on at once; what is to be written
because of it gathers, and is written at the beginning of the next pass. Of a long pass it is
written as soon as many wait: else what was read first would wait for what is read last, and then
once more until all that was written for is prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Protocol

from relay.logs import get_logger

_logger = get_logger(__name__)


MANY = 32
"""With so many that wait, `relieve` writes. Half as many chunks: some half a millisecond."""


class Output(Protocol):
    """A transport, as far as it is written to.

    Not a method of its protocol: uvicorn's have their attributes in dictionaries, and a look into
    one for each event of each reader is three cache lines.
    """

    def write(self, data: bytes) -> None:
        """Write this, or keep it for the socket. Never blocks."""
        ...


class Passes:
    """Calls back whoever has something to write. `call_soon` is the loop's."""

    __slots__ = ("_call_soon", "_context", "_due", "_is_asked_for")

    def __init__(self, call_soon: Callable[..., object]) -> None:
        self._call_soon = call_soon
        # Its own: what is logged of one socket must not carry the names of another.
        self._context = Context()
        self._due: list[Callable[[], None]] = []
        self._is_asked_for = False

    def soon(self, flush: Callable[[], None]) -> None:
        """Call this once, in the next pass or by `relieve`. Whoever asks twice is called twice."""
        if not self._is_asked_for:
            self._is_asked_for = True
            self._call_soon(self._turn, context=self._context)
        self._due.append(flush)

    def relieve(self) -> None:
        """Call now whoever waits, if there are many: for who has acted on all that it has read."""
        if len(self._due) >= MANY:
            self._context.run(self._flush)

    def _turn(self) -> None:
        self._is_asked_for = False
        self._flush()

    def _flush(self) -> None:
        due, self._due = self._due, []
        for flush in due:
            try:
                flush()
            except Exception:
                # A bug of ours: it must not keep the others from writing.
                _logger.exception("write_failed")
