"""Asks a protocol-2 bot for missing chunks: new gaps at once, old ones now and then."""

from __future__ import annotations

from relay.protocol.events import Nack
from relay.protocol.rangeset import Ranges, RangeSet


class Retransmission:
    """What the bot has been asked to send again."""

    __slots__ = ("_every_s", "asked", "due_at")

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self.asked = RangeSet()
        self.due_at: float | None = None
        """When to ask again; None while nothing is missing."""

    def ask(self, gaps: Ranges, now: float) -> list[Nack]:
        """Ask for the parts of `gaps` that are new, and for all of them when it is due."""
        if not gaps:
            self.due_at = None
            return []
        due = self.due_at is not None and now >= self.due_at
        wanted = gaps if due else _without(gaps, self.asked)
        if not wanted:
            return []
        for first, last in wanted:
            for sequence in range(first, last + 1):
                self.asked.add(sequence)
        self.due_at = now + self._every_s
        return [Nack(wanted)]

    def restart(self, now: float, *, can_ask: bool) -> None:
        """A connection carries the stream again. It resends by itself, and is reminded in time."""
        self.due_at = now + self._every_s if can_ask else None

    def stop(self) -> None:
        """Nothing can be asked for any more (or at the moment)."""
        self.due_at = None


def _without(ranges: Ranges, known: RangeSet) -> Ranges:
    return tuple(gap for first, last in ranges for gap in known.missing(last + 1, start=first))
