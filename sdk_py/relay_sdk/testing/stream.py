"""One answer as the fake relay keeps it: the relay's own receiver, and a log that is a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from relay.protocol.events import (
    Abort,
    Ack,
    Amend,
    Append,
    Chunk,
    Effect,
    End,
    Entry,
    EntryKind,
    Finish,
    Hold,
    Message,
    Nack,
    Refuse,
    Summary,
)
from relay.protocol.limits import Limits
from relay.protocol.rangeset import Ranges
from relay.protocol.receiver import StreamReceiver
from relay.wire import parts
from relay.wire.bot import Acked, Closed, Missing, OpenStreamState, Outbound, Refused
from relay_sdk.device_events import FollowUp, ToolCall, read_parts

Sent = Chunk | End | Abort | Summary
"""What a bot sends about an answer."""


@dataclass(frozen=True, slots=True)
class BotAnswer:
    """An answer that is over, from both ends."""

    text: str
    """What a device has been shown."""
    outcome: str
    """docs/protocol.md, section 8."""
    total_chunks: int
    missing: Ranges
    """The sequences that never arrived, as inclusive ranges."""
    chunks: tuple[tuple[int, str], ...]
    """The chunks in the order in which a device sees them, each with its sequence."""
    tool_calls: tuple[ToolCall, ...]
    follow_up: tuple[str, ...]
    """The suggestions that stand at the end."""
    error: str
    """What the bot said of its failure. It is for the relay's trace; no device sees it."""
    shown: str
    """What the bot has the device show of its failure."""
    sent: tuple[Sent, ...]
    """Everything that the bot sent, in its order: with what got lost, and with every repeat."""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.outcome in ("completed", "repaired")


class FakeStream:
    """Messages in, messages for the bot out; `now` is in seconds of any steady clock."""

    def __init__(self, stream_id: str, limits: Limits, now: float) -> None:
        self.stream_id = stream_id
        self.closed: Closed | None = None
        self.sent: list[Sent] = []
        self._limits = limits
        self._epoch = 0
        self._opened_at = now
        self._entries: list[Entry] = []
        self._receiver = StreamReceiver(limits, opened_at=now, can_resend=True)

    @property
    def next_sequence(self) -> int:
        """Every sequence below has arrived or is given up."""
        return self._receiver.next_sequence

    def next_deadline(self) -> float | None:
        """When `handle_timer` has something to do."""
        return self._receiver.next_deadline()

    def receive(self, message: Message, now: float) -> list[Outbound]:
        """Take a message; returns what there is to answer."""
        if self.closed is not None and isinstance(message, End):
            # The bot asks again because the answer was lost with a connection.
            return [self.closed]
        return self._perform(self._receiver.receive(message, now))

    def handle_timer(self, now: float) -> list[Outbound]:
        """Do what is due."""
        return self._perform(self._receiver.handle_timer(now))

    def forget(self, now: float) -> None:
        """A relay that was killed has lost the log of a stream that is open; nothing else."""
        if self.closed is None:
            self._epoch += 1
            self._entries.clear()
            self._receiver = StreamReceiver(self._limits, opened_at=now, can_resend=True)

    def acked(self) -> Acked:
        """What is stored."""
        receiver = self._receiver
        return Acked(
            self.stream_id, None, receiver.next_sequence, receiver.received, receiver.credit
        )

    def state(self) -> OpenStreamState | Closed:
        """What a bot is told of the stream when it comes back."""
        receiver = self._receiver
        return self.closed or OpenStreamState(
            stream_id=self.stream_id,
            epoch=f"fake{self._epoch}",
            status=receiver.status.label,
            next_sequence=receiver.next_sequence,
            received=receiver.received,
            credit=receiver.credit,
        )

    def answer(self) -> BotAnswer:
        """Return the answer. Only to be asked once it is over."""
        assert self.closed is not None
        shown = [one for one in self._entries if one.kind is not EntryKind.END]
        end = self._entries[-1]
        found = [part for one in shown for part in read_parts(parts.to_fields(one.part))]
        suggestions = [one.suggestions for one in found if isinstance(one, FollowUp)]
        failure = next((one for one in self.sent if isinstance(one, Abort)), Abort(""))
        return BotAnswer(
            text="".join(one.content for one in shown),
            outcome=self.closed.outcome,
            total_chunks=self.closed.total_chunks,
            missing=self.closed.missing,
            chunks=tuple(
                (one.sequence, one.content)
                for one in shown
                if one.kind is EntryKind.CHUNK and one.sequence is not None
            ),
            tool_calls=tuple(one for one in found if isinstance(one, ToolCall)),
            follow_up=suggestions[-1] if suggestions else (),
            error=failure.error,
            shown=end.content,
            sent=tuple(self.sent),
        )

    def _perform(self, effects: Sequence[Effect]) -> list[Outbound]:
        answers: list[Outbound] = []
        for effect in effects:
            match effect:
                case Append(entries):
                    self._entries += entries
                case Ack():
                    answers.append(self.acked())
                case Nack(ranges):
                    answers.append(Missing(self.stream_id, ranges))
                case Refuse(code, sequence, message):
                    answers.append(Refused(self.stream_id, sequence, code, message))
                case Finish(report):
                    self.closed = Closed(
                        self.stream_id, report.outcome.value, report.total_chunks, report.missing
                    )
                    answers.append(self.closed)
                case Hold() | Amend():
                    pass  # the receiver keeps early chunks itself, and there is no trace
                case _:
                    assert_never(effect)
        return answers
