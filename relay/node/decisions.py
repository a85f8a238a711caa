"""What an owner decides on a message, and what of that is still to be done or told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from relay.broker.base import LogSnapshot
from relay.protocol.events import (
    Ack,
    Amend,
    Chunk,
    Effect,
    Entry,
    Finish,
    HeldChunk,
    Message,
    Nack,
    Refuse,
)
from relay.protocol.facts import Facts
from relay.protocol.rangeset import Ranges
from relay.protocol.receiver import StreamReceiver


class AckNext(Struct, frozen=True, gc=False):
    """Tell the bot that these neighbouring sequences are stored."""

    first: int
    last: int


Reaction = Ack | Nack | Refuse | Finish | Amend
"""What is left of the effects once the log is written: something to tell somebody."""


class Stored(Struct, frozen=True, gc=False):
    """How much of a stream is stored, as its bot is told."""

    next_sequence: int
    """Every sequence below is stored or given up."""
    received: Ranges
    """The early sequences that are stored."""
    credit: int
    """How many sequences from `next_sequence` on the bot may send."""


class Decision(NamedTuple):
    """What the receiver decided on one message, and how much is stored once it is done."""

    effects: Sequence[Effect | AckNext]
    now: float
    stored: Stored
    messages: Sequence[Message]
    """What it was about; nothing where a timer was due."""
    facts: Facts | None
    """What the log does not say by then, where that has changed."""


class Write(NamedTuple):
    """What was sent to the log, and of which nobody knows yet whether it is there."""

    decision: Decision
    offset: int
    entries: Sequence[Entry]
    held: Sequence[HeldChunk]
    is_first: bool
    """Whether it is the decision's first: a message is taken with that one."""

    def happened(self, snapshot: LogSnapshot) -> bool:
        """Whether it is in the log after all. One that only kept notes may be repeated."""
        if self.entries:
            stop = self.offset - 1 + len(self.entries)
            return snapshot.entries[self.offset - 1 : stop] == tuple(self.entries)
        return bool(self.held) and all(chunk in snapshot.held for chunk in self.held)


class Unsaid(NamedTuple):
    """A message of which nobody knows whether its effects were performed, or which were not."""

    message: Message
    now: float
    """When it came."""
    acks: Sequence[Ack]
    """What is left to be told where it is stored after all; else it is to be offered again."""
    is_stored: bool


def unsaid_of(decision: Decision, *, is_stored: bool) -> list[Unsaid]:
    """Return the messages of a decision: none of a timer, which will be due again."""
    acks = [effect for effect in decision.effects if isinstance(effect, Ack)]
    return [
        Unsaid(
            message,
            decision.now,
            acks or [Ack(message.sequence)] if isinstance(message, Chunk) else acks,
            is_stored,
        )
        for message in decision.messages
    ]


def stored_of(receiver: StreamReceiver) -> Stored:
    """Return how much is stored once all is written that the receiver has decided."""
    return Stored(receiver.next_sequence, receiver.received, receiver.credit)
