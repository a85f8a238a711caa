"""One stream on this node: its owner, its readers, its notes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never

from relay.broker.base import StreamLog, settle
from relay.devices.base import DeviceProtocol, StreamView
from relay.node.audience import Audience
from relay.node.bots import BotLink, answer
from relay.node.owner import Reaction, StreamOwner
from relay.node.record import StreamRecord
from relay.node.subscriber import Encodings, Subscription
from relay.node.tracer import TraceRow
from relay.protocol.events import Ack, Amend, Finish, Message, Nack, Overlapped, Refuse
from relay.protocol.forensics import LossReport
from relay.wire.bot import Closed

ROW_ENTRIES_MAX = 1_000_000
"""How much of a log a trace row is made of: all of it, within the limits of a stream."""


class NodeStream:
    """A stream, for as long as this node keeps it.

    `moved(stream)` is called whenever its deadline may have changed, `settled(stream)`
    whenever its trace row has to be written (again).
    """

    def __init__(
        self,
        *,
        view: StreamView,
        record: StreamRecord,
        audience: Audience,
        now: Callable[[], float],
        moved: Callable[[NodeStream], None],
        settled: Callable[[NodeStream], None],
    ) -> None:
        self.stream_id = view.stream_id
        self.view = view
        self.record = record
        self.audience = audience
        self.link: BotLink | None = None
        self.owner: StreamOwner | None = None
        self.report: LossReport | None = None
        self.closed: Closed | None = None
        self.finished_at: float | None = None
        self.end_offset: int | None = None
        self.row_made = False
        """Whether the trace row was made from the log, so that the log may go."""
        self._overlapped = False
        self._traced = False
        self._encodings: dict[str, Encodings] = {}
        self._now = now
        self._moved = moved
        self._settled = settled

    # --- as the bot sees it ---------------------------------------------------------------

    def receive(self, message: Message, now: float) -> Awaitable[None] | None:
        """Take one message; returns what to await before the next one, if anything."""
        if self.owner is None:
            return None
        if isinstance(message, Overlapped) and not self._overlapped:
            self._overlapped = True
            self.record.note("numbered_by_arrival", now, reason="overlapping streams")
        pending = self.owner.receive(message, now)
        self._moved(self)
        return pending

    def handle_timer(self, now: float) -> None:
        """Let the owner do what is due."""
        if self.owner is not None:
            # What an awaited write leaves to do is done behind it, in order.
            self.owner.handle_timer(now)
            self._moved(self)

    def react(self, reaction: Reaction, now: float) -> None:
        """Perform an effect that is not a write."""
        match reaction:
            case Ack() | Nack() | Refuse():
                if isinstance(reaction, Ack) and reaction.sequence is not None:
                    self.record.acked_at.setdefault(reaction.sequence, self._now())
                if self.link is not None and self.owner is not None:
                    answer(self.link, self.owner.receiver, self.stream_id, reaction)
            case Finish():
                self._finish(reaction.report, now)
            case Amend():
                self.report = reaction.report
                if self._traced:
                    self._settled(self)
            case _:
                assert_never(reaction)

    def _finish(self, report: LossReport, now: float) -> None:
        self.report = report
        self.finished_at = now
        assert self.owner is not None
        self.end_offset = self.owner.receiver.next_offset - 1
        self.record.note("stream_end", now, outcome=report.outcome.value)
        self.closed = Closed(
            self.stream_id, report.outcome.value, report.total_chunks, report.missing
        )
        if self.link is not None:
            self.link.send(self.closed)
        self.consider_trace()

    # --- as the device sees it --------------------------------------------------------------

    def subscribe(self, log: StreamLog, device: DeviceProtocol, *, after: int) -> Subscription:
        """Open a reader behind offset `after`."""
        encodings = self._encodings.setdefault(device.name, Encodings(device, self.view))

        def handed_over(offset: int) -> None:
            if self.audience.hand_over(offset, self._now()):
                self.consider_trace()

        def left() -> None:
            self.audience.leave(self._now())
            self._moved(self)

        subscription = Subscription(
            log,
            self.view,
            encodings,
            after=after,
            finished=self.end_offset is not None and after >= self.end_offset,
            handed_over=handed_over,
            left=left,
        )
        self.audience.join(can_resume=device.can_resume)
        self._moved(self)
        return subscription

    # --- its deadline and its trace -----------------------------------------------------------

    def next_deadline(self, retention_s: float) -> float | None:
        """When something is to be done about this stream."""
        if self.finished_at is not None:
            expiry = self.finished_at + retention_s
            given_up = None if self._traced else self.audience.deadline
            return expiry if given_up is None else min(expiry, given_up)
        deadlines = [self.audience.deadline]
        if self.owner is not None and not self.owner.dead:
            deadlines.append(self.owner.receiver.next_deadline())
        return min([at for at in deadlines if at is not None], default=None)

    def consider_trace(self, *, abandoned: bool = False) -> None:
        """Have the row written once nothing more is to be learned: read to the end, or given up."""
        if self.report is None or self._traced:
            return
        read = self.end_offset is not None and self.audience.delivered >= self.end_offset
        if read or abandoned or self.audience.abandoned:
            self._traced = True
            self._settled(self)

    async def make_row(self, log: StreamLog, *, with_content: bool) -> TraceRow:
        """Make the trace row from the log and the notes."""
        assert self.report is not None
        entries = await settle(log.read(self.stream_id, 0, ROW_ENTRIES_MAX))
        self.row_made = True
        return self.record.row(self.report, entries, self.audience, with_content=with_content)
