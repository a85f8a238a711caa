"""What bot and device saw of one answer, noted by them. The relay has no part in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing that the device was told: a piece of text, or (`text` None) the last event."""

    at: float
    """Seconds of the monotonic clock, when it could be displayed."""
    text: str | None


@dataclass(slots=True)
class Ledger:
    """The notes on one answer. Times are seconds of the monotonic clock of this process."""

    chunks: tuple[str, ...]
    """The whole answer, by sequence."""
    barrier_s: float
    """How long the relay holds an end."""
    asked_at: float | None = None
    trace_id: str = ""
    sent: dict[int, float] = field(default_factory=dict)
    """When the bot first sent each sequence."""
    acked: dict[int, float] = field(default_factory=dict)
    """When the bot first heard that each sequence is stored."""
    asked_again: set[int] = field(default_factory=set)
    """What the relay asked the bot to send again."""
    ended_at: float | None = None
    """When the bot first sent its end."""
    claimed_at: float | None = None
    """When the bot sent its summary."""
    heard: list[Heard] = field(default_factory=list)
    """What the device was told, in order."""
    next_at: float = 0.0
    """When the bot will say its next word."""

    @property
    def shown(self) -> str:
        """The text on the device."""
        return "".join(heard.text for heard in self.heard if heard.text)

    @property
    def finished_at(self) -> float | None:
        """When the device was told that the answer is over."""
        return next((heard.at for heard in self.heard if heard.text is None), None)

    @property
    def in_order(self) -> int:
        """How many sequences from 0 on the relay has acknowledged without a gap."""
        return sum(1 for _ in takewhile(self.acked.__contains__, range(len(self.chunks))))

    def ended(self, at: float) -> None:
        """The bot sent its end, maybe not for the first time."""
        if self.ended_at is None:
            self.ended_at = at

    def stored(self, sequences: Collection[int], at: float) -> None:
        """The bot heard that these are stored, maybe not for the first time."""
        for sequence in sequences:
            if sequence in self.sent:
                self.acked.setdefault(sequence, at)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How what the device was told relates to the bot's chunks."""

    at: dict[int, float]
    """When each chunk was displayed."""
    repaired: frozenset[int]
    """Sequences that were never sent, and whose text was displayed all the same."""
    strange: str
    """The first text that is none of the bot's, or comes in the wrong place; `""` without one."""


def trace_delivery(chunks: Sequence[str], sent: Collection[int], told: Sequence[Heard]) -> Delivery:
    """Find every chunk in what the device was told, in order.

    One event shows one chunk, or the text of a whole gap of chunks that were never sent. A chunk
    that was sent and is not shown is passed over, so that it is found to be missing and what
    follows it is not taken for strange.
    """
    at: dict[int, float] = {}
    repaired: set[int] = set()
    pieces = _pieces(chunks, sent)
    cursor = 0
    for heard in told:
        if not heard.text:
            continue
        here = (i for i in range(cursor, len(pieces)) if pieces[i][1] == heard.text)
        index = next(here, None)
        if index is None:
            return Delivery(at, frozenset(repaired), heard.text)
        sequences, _ = pieces[index]
        if sequences.start in sent:
            at[sequences.start] = heard.at
        else:
            repaired.update(sequences)
        cursor = index + 1
    return Delivery(at, frozenset(repaired), "")


def _pieces(chunks: Sequence[str], sent: Collection[int]) -> list[tuple[range, str]]:
    """Cut the answer into what one event may show: chunks that were sent, and whole gaps."""
    pieces: list[tuple[range, str]] = []
    start = 0
    while start < len(chunks):
        stop = start + 1
        if start not in sent:
            while stop < len(chunks) and stop not in sent:
                stop += 1
        pieces.append((range(start, stop), "".join(chunks[start:stop])))
        start = stop
    return pieces
