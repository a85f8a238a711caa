"""What becomes of a stream as time passes: given up by its device, ended, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import structlog

from relay.broker.base import Letter, StreamLog
from relay.node.background import Undertake
from relay.node.deadlines import Deadlines, Due
from relay.node.recovery import Recovery
from relay.node.registry import Registry
from relay.node.stream import NodeStream
from relay.node.switchboard import Switchboard
from relay.protocol.events import Stop
from relay.protocol.status import Outcome
from relay.settings import Settings
from relay.wire.jsontext import JsonValue, dumps

ROW_WAIT_SECONDS = 60.0
"""How much longer than its retention a log is kept for a tracer that is behind."""


class Lifecycle:
    """Does what is due on each of a node's streams.

    `moved(stream)` is to be called whenever a deadline of the stream may have changed.
    `deadlines(due)` makes the heap that calls `due` back.
    """

    def __init__(
        self,
        *,
        deadlines: Callable[[Due], Deadlines],
        log: StreamLog,
        settings: Settings,
        registry: Registry,
        switchboard: Switchboard,
        recovery: Recovery,
        background: Undertake,
    ) -> None:
        self._log = log
        self._settings = settings
        self._registry = registry
        self._switchboard = switchboard
        self._recovery = recovery
        self._background = background
        self._deadlines = deadlines(self._due)
        self._logger = structlog.get_logger("relay.node")

    @property
    def timers(self) -> int:
        """How many moments are noted at which a stream will be looked at."""
        return self._deadlines.queued

    def held_up(self, late_s: float) -> None:
        """See `Deadlines.held_up`."""
        self._deadlines.held_up(late_s)

    def moved(self, stream: NodeStream) -> None:
        """Look at the stream again when its next deadline comes."""
        self._deadlines.set(
            stream.stream_id, stream.next_deadline(self._settings.retention_seconds)
        )
        if stream.finished_at is not None:
            self._switchboard.retire(stream)

    def _due(self, key: Hashable, now: float) -> None:
        stream = self._registry.get(str(key))
        if stream is None:
            return
        if stream.finished_at is None:
            self._recovery.retry(stream, now)
            if stream.audience.deadline is not None and now >= stream.audience.deadline:
                self._abandoned(stream, now)
            stream.handle_timer(now)
        elif now >= stream.finished_at + self._settings.retention_seconds:
            self._expire(stream, now)
            return
        else:
            self._unread(stream, now)
            stream.consider_trace(abandoned=True)
        self.moved(stream)

    def _unread(self, stream: NodeStream, now: float) -> None:
        """The stream ended before the grace did: its trace says why the rest was not delivered."""
        deadline = stream.audience.deadline
        if deadline is not None and now >= deadline and not stream.audience.read_to_end:
            self._note_gone(stream, now)

    def _note_gone(self, stream: NodeStream, now: float) -> None:
        left_at, delivered = stream.audience.absent_since, stream.audience.delivered
        stream.audience.abandoned = True
        # An operator asks when the device left, and not when the relay was sure of it.
        stream.note("device_gone", now if left_at is None else left_at, delivered=delivered)

    def _abandoned(self, stream: NodeStream, now: float) -> None:
        """Nobody reads any more. A bot that can be told is told to stop; another goes on."""
        link = stream.link
        delivered = stream.audience.delivered
        self._note_gone(stream, now)
        self._logger.info("device_gone", **stream.view.names, delivered=delivered)
        if link is not None and link.reliable:
            payload: dict[str, JsonValue] = {"type": "cancel_command", "reason": "device_gone"}
            letter = Letter(link.bot_id, stream.stream_id, dumps(payload))
            link.deliver(letter, credit=0)
            stream.receive(Stop(Outcome.CANCELLED, "the device went away"), now)

    def _expire(self, stream: NodeStream, now: float) -> None:
        stream.consider_trace(abandoned=True)
        overdue = now - (stream.finished_at or now) - self._settings.retention_seconds
        if not stream.row_made and overdue < ROW_WAIT_SECONDS:
            # The row is made from the log, and the tracer has not got to it yet.
            self._deadlines.set(stream.stream_id, now + 1.0)
            return
        self._registry.expire(stream)
        self._switchboard.forget(stream)
        stream.forget()
        dropped = self._log.drop(stream.stream_id)
        if dropped is not None:
            self._background(dropped, **stream.view.names)

    def close(self) -> None:
        """Do nothing more."""
        self._deadlines.close()
