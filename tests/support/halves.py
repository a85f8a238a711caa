"""The relay's half for a `StreamSender` to talk to: a tiny reference, and the real receiver."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from relay.protocol.events import (
    Abort,
    Ack,
    Append,
    BotBack,
    BotLost,
    Chunk,
    Effect,
    End,
    Entry,
    EntryKind,
    Finish,
    Hold,
    Nack,
    Part,
    Refuse,
)
from relay.protocol.limits import Limits
from relay.protocol.rangeset import RangeSet
from relay.protocol.receiver import StreamReceiver
from relay.protocol.sending import Closed, Feedback, Stored


class Half(Protocol):
    """The relay's half as the harness sees it."""

    def receive(self, message: Chunk | End | Abort, now: float) -> list[Feedback]: ...
    def state(self) -> Stored | Closed: ...
    def connected(self, now: float) -> list[Feedback]: ...
    def disconnected(self, now: float) -> None: ...
    def next_deadline(self) -> float | None: ...
    def handle_timer(self, now: float) -> list[Feedback]: ...


@dataclass
class PatientHalf:
    """A tiny reference receiver: it stores by number and waits for ever for what is missing."""

    credit: int
    forgetful: bool = False
    chunks: dict[int, Chunk] = field(default_factory=dict)
    end: End | None = None

    def receive(self, message: Chunk | End | Abort, now: float) -> list[Feedback]:
        match message:
            case Chunk(_, sequence):
                assert sequence is not None
                known = self.chunks.setdefault(sequence, message)
                assert known == message, "one sequence, two contents"
            case End():
                assert self.end in (None, message), "two different ends"
                self.end = message
            case Abort():
                raise AssertionError("nothing failed here")
        return [self.state()]

    def state(self) -> Stored | Closed:
        stored = RangeSet(sorted(self.chunks))
        if self.end is not None and len(stored) == self.end.total_chunks:
            return Closed("completed", len(stored), ())
        ranges = stored.ranges()
        upto = ranges[0][1] + 1 if ranges and ranges[0][0] == 0 else 0
        return Stored(upto, tuple(r for r in ranges if r[0] > upto), self.credit)

    def connected(self, now: float) -> list[Feedback]:
        return []

    def disconnected(self, now: float) -> None:
        if self.forgetful:
            self.chunks.clear()
            self.end = None

    def next_deadline(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> list[Feedback]:
        return []

    @property
    def text(self) -> str:
        return "".join(self.chunks[sequence].content for sequence in sorted(self.chunks))

    @property
    def parts(self) -> list[Part]:
        found = (self.chunks[sequence].part for sequence in sorted(self.chunks))
        return [part for part in found if part is not None]


class RelayHalf:
    """The real receiver, with the little that a shell does around it."""

    def __init__(self, credit: int) -> None:
        limits = replace(Limits(), credit=credit)
        self.core = StreamReceiver(limits, opened_at=0.0, can_resend=True)
        self.entries: list[Entry] = []

    def receive(self, message: Chunk | End | Abort, now: float) -> list[Feedback]:
        known = len(self.entries)
        feedback = self._perform(self.core.receive(message, now))
        if self.core.finished and known == len(self.entries):
            feedback.append(self.state())  # a repeated end is answered again
        return feedback

    def state(self) -> Stored | Closed:
        if self.core.finished:
            report = self.core.report()
            return Closed(report.outcome, report.total_chunks, report.missing)
        return Stored(self.core.next_sequence, self.core.received, self.core.credit)

    def connected(self, now: float) -> list[Feedback]:
        return self._perform(self.core.receive(BotBack(can_resend=True), now))

    def disconnected(self, now: float) -> None:
        self.core.receive(BotLost(), now)

    def next_deadline(self) -> float | None:
        return self.core.next_deadline()

    def handle_timer(self, now: float) -> list[Feedback]:
        return self._perform(self.core.handle_timer(now))

    def _perform(self, effects: list[Effect]) -> list[Feedback]:
        feedback: list[Feedback] = []
        for effect in effects:
            match effect:
                case Append(entries):
                    self.entries += [
                        entry
                        for entry in entries
                        if entry.kind in (EntryKind.CHUNK, EntryKind.REPAIR)
                    ]
                case Ack() | Finish():
                    feedback.append(self.state())
                case Nack() | Refuse():
                    feedback.append(effect)
                case Hold():
                    pass
                case _:
                    pass
        return feedback

    @property
    def text(self) -> str:
        return "".join(entry.content for entry in self.entries)

    @property
    def parts(self) -> list[Part]:
        return [entry.part for entry in self.entries if entry.part is not None]
