"""Runs a `StreamReceiver` as its owner does: effects in list order, timers when they are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relay.protocol.events import (
    Ack,
    Amend,
    Append,
    Chunk,
    Effect,
    End,
    Entry,
    EntryKind,
    Finish,
    HeldChunk,
    Hold,
    Message,
    Nack,
    Part,
    PartKind,
    Refuse,
    Summary,
)
from relay.protocol.limits import Limits
from relay.protocol.receiver import StreamReceiver
from relay.protocol.report import LossReport
from relay.protocol.status import Status
from relay.protocol.texthash import content_hash

PARTS = (
    Part(PartKind.TOOL_CALL, '{"command":"take_photo"}'),
    Part(PartKind.TOOL_CALL, '{"command":"notify_agent_off"}'),
    Part(PartKind.FOLLOW_UP, '["And tomorrow?"]'),
    Part(PartKind.FOLLOW_UP, '["明天呢？","🦞"]'),
)
"""What a chunk may carry."""

SHOWN = (EntryKind.CHUNK, EntryKind.REPAIR, EntryKind.GAP)
"""The entries that a device shows."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the receiver and what came of it."""

    now: float
    message: Message | None
    """None: a timer."""
    effects: tuple[Effect, ...]
    status: Status


class Performer:
    """One stream's log, hold and answers; the steps are kept for the checkers."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        opened_at: float = 0.0,
        can_resend: bool = False,
        receiver_type: type[StreamReceiver] = StreamReceiver,
    ) -> None:
        self.limits = limits or Limits()
        self.opened_at = opened_at
        self.can_resend = can_resend
        self.receiver_type = receiver_type
        self.receiver = receiver_type(self.limits, opened_at=opened_at, can_resend=can_resend)
        self.now = opened_at
        self.log: list[Entry] = []
        self.held: dict[int, HeldChunk] = {}
        self.steps: list[Step] = []

    # --- driving ------------------------------------------------------------------------

    def receive(self, message: Message, now: float) -> list[Effect]:
        """Hand over a message and perform what follows."""
        self.now = max(self.now, now)
        return self._perform(message, self.receiver.receive(message, now), now)

    def advance(self, now: float) -> list[Effect]:
        """Fire every timer that is due until `now`; a timer that changes nothing is an error."""
        done: list[Effect] = []
        while (due := self.receiver.next_deadline()) is not None and due <= now:
            self.now = max(self.now, due)
            effects = self.receiver.handle_timer(self.now)
            done += self._perform(None, effects, self.now)
            assert effects or self.receiver.next_deadline() != due, f"stuck at {due}"
        self.now = max(self.now, now)
        return done

    def finish(self) -> LossReport:
        """Fire timers until the stream is over."""
        while (due := self.receiver.next_deadline()) is not None:
            self.advance(due)
        return self.report

    def take_over(self) -> None:
        """Another node takes over: all that it has is the log, the hold, and the facts."""
        self.receiver = self.receiver_type.restore(
            self.limits,
            tuple(self.log),
            tuple(self.held.values()),
            opened_at=self.opened_at,
            can_resend=self.can_resend,
            facts=self.receiver.facts,
        )

    def _perform(self, message: Message | None, effects: list[Effect], now: float) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Append):
                self.log.extend(effect.entries)
                for entry in effect.entries:
                    if entry.sequence is not None and entry.kind is EntryKind.CHUNK:
                        self.held.pop(entry.sequence, None)
            elif isinstance(effect, Hold):
                self.held[effect.chunk.sequence] = effect.chunk
        self.steps.append(Step(now, message, tuple(effects), self.receiver.status))
        return effects

    # --- what came of it ----------------------------------------------------------------

    @property
    def effects(self) -> list[Effect]:
        """Everything that was performed."""
        return [effect for step in self.steps for effect in step.effects]

    @property
    def appends(self) -> list[Append]:
        """The appends, in order."""
        return [effect for effect in self.effects if isinstance(effect, Append)]

    @property
    def acked(self) -> list[int | None]:
        """The sequences of the ACKs, in order."""
        return [effect.sequence for effect in self.effects if isinstance(effect, Ack)]

    @property
    def nacks(self) -> list[Nack]:
        """The requests for missing chunks."""
        return [effect for effect in self.effects if isinstance(effect, Nack)]

    @property
    def refusals(self) -> list[Refuse]:
        """What was not taken."""
        return [effect for effect in self.effects if isinstance(effect, Refuse)]

    @property
    def reports(self) -> list[LossReport]:
        """The report at the finish and its amendments."""
        return [e.report for e in self.effects if isinstance(e, Finish | Amend)]

    @property
    def report(self) -> LossReport:
        """The newest report."""
        return self.reports[-1]

    @property
    def text(self) -> str:
        """What the device shows."""
        return "".join(entry.content for entry in self.log if entry.kind in SHOWN)

    @property
    def delivered(self) -> list[int]:
        """The sequences of the chunks in the log."""
        return [
            entry.sequence
            for entry in self.log
            if entry.kind is EntryKind.CHUNK and entry.sequence is not None
        ]

    @property
    def kinds(self) -> list[EntryKind]:
        """The kinds of the entries in the log."""
        return [entry.kind for entry in self.log]

    @property
    def end(self) -> Entry:
        """The terminal entry."""
        (end,) = (entry for entry in self.log if entry.kind is EntryKind.END)
        return end


def send(performer: Performer, texts: Sequence[str], order: Iterable[int], at: float = 1.0) -> None:
    """Send chunks of an answer in this order, a millisecond apart."""
    for place, sequence in enumerate(order):
        performer.receive(Chunk(texts[sequence], sequence), at + place / 1000)


def summary_of(texts: Sequence[str]) -> Summary:
    """Return the true summary of an answer, as SDK 2.4.0 makes it."""
    text = "".join(texts)
    return Summary(text, len(texts), content_hash(text))


def end_of(texts: Sequence[str]) -> End:
    """Return the end of an answer, as protocol 2 states it."""
    return End(len(texts), content_hash("".join(texts)))
