"""One write per connection and pass of the event loop, or fewer.

What one pass of the loop reads from all its sockets is acted on at once; what is to be written
because of it gathers, and is written at the beginning of the next pass. Of a long pass it is
written as soon as many wait: else what was read first would wait for what is read last, and then
once more until all that was written for is prepared.

Where very many wait, as the readers of one stream do, they are written to a slice at a time, with
the sockets read between two slices. What comes meanwhile joins what those get who still wait, and
the others line up behind them. So nobody waits for longer than it takes to write to all once; were
they all written to at once, what comes would wait for that, and then for its own turn in the next.

What can wait is written in the next pass, too, unless that one is long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Final, Protocol

from relay.logs import get_logger

_logger = get_logger(__name__)


MANY: Final = 32
"""With so many that wait, `relieve` writes, and a pass is long: some millisecond."""

SLICE: Final = 64
"""How many are called at once at most: less than a millisecond, at 10 us for each write."""

WAIT_S: Final = 0.25
"""How long what can wait does at most: half of what TCP may with its ACKs (RFC 9293, 3.8.6.3). By
so much the end of an answer may come later whose bot waits for its last ACK."""


class Output(Protocol):
    """A transport, as far as it is written to.

    Not a method of its protocol: uvicorn's have their attributes in dictionaries, and a look into
    one for each event of each reader is three cache lines.
    """

    def write(self, data: bytes) -> None:
        """Write this, or keep it for the socket. Never blocks."""
        ...


class Passes:
    """Calls back whoever has something to write. `call_soon` and `time` are the loop's."""

    __slots__ = (
        *("_call_soon", "_context", "_due", "_is_asked_for", "_leisurely"),
        *("_now", "_room", "_time"),
    )

    def __init__(self, call_soon: Callable[..., object], time: Callable[[], float]) -> None:
        self._call_soon = call_soon
        self._time = time
        # Its own: what is logged of one socket must not carry the names of another.
        self._context = Context()
        self._due: list[Callable[[], None]] = []
        self._leisurely: deque[tuple[float, Callable[[], None]]] = deque()
        """Since when somebody waits, and whom to call."""
        self._now = 0.0
        """When somebody was last called at leisure, or looked at: to ask for the time of each who
        waits is dearer. Where it is old, who waits is called too soon."""
        self._room = MANY
        """How many more may be called until this pass is a long one."""
        self._is_asked_for = False

    def soon(self, flush: Callable[[], None]) -> None:
        """Call this once, in a pass to come or by `relieve`, behind those who asked before.

        Whoever asks twice is called twice.
        """
        if not self._is_asked_for:
            self._ask()
        self._due.append(flush)

    def at_leisure(self, flush: Callable[[], None]) -> None:
        """Call this once, behind the first pass that is not long, or after `WAIT_S`."""
        if not self._is_asked_for:
            self._ask()
        self._leisurely.append((self._now, flush))

    def relieve(self) -> None:
        """Call now whoever waits, if there are many: for who has acted on all that it has read."""
        if len(self._due) >= MANY:
            self._context.run(self._call_due)

    def _ask(self) -> None:
        self._is_asked_for = True
        self._call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        self._is_asked_for = False
        self._call_due()
        if self._leisurely:
            self._call_leisurely()
        self._room = MANY

    def _call_due(self) -> None:
        due, self._due = self._due[:SLICE], self._due[SLICE:]
        if self._due and not self._is_asked_for:
            self._ask()
        self._room -= len(due)
        _call(due)

    def _call_leisurely(self) -> None:
        waiting, room = self._leisurely, self._room
        self._now = self._time()
        since = self._now - WAIT_S
        called: list[Callable[[], None]] = []
        while waiting and (len(called) < room or waiting[0][0] <= since):
            called.append(waiting.popleft()[1])
        _call(called)
        if waiting and not self._is_asked_for:
            self._ask()


def _call(flushes: Sequence[Callable[[], None]]) -> None:
    for flush in flushes:
        try:
            flush()
        except Exception:
            # A bug of ours: it must not keep the others from writing.
            _logger.exception("write_failed")
