"""The bot's ledger of acknowledgements: what is stored, what is in flight, what is overdue."""

from __future__ import annotations

from collections.abc import Iterator

from relay.protocol.rangeset import Ranges, RangeSet


class Ledger:
    """Books for one stream and one connection at a time.

    A sequence is *stored* once the relay has acknowledged it, and *in flight* from its
    transmission until then. What stays unanswered for `resend_s` is overdue; that time
    doubles with every silence in a row and starts anew with the next acknowledgement.
    """

    def __init__(self, *, resend_s: float, resend_max_s: float) -> None:
        self.next = 0
        """Every sequence below is stored."""
        self._early: set[int] = set()
        self._sent_at: dict[int, float] = {}  # by time of sending, oldest first
        self._first_resend_s = resend_s
        self._resend_max_s = resend_max_s
        self._resend_s = resend_s

    @property
    def settled(self) -> bool:
        """Whether nothing is in flight."""
        return not self._sent_at

    def is_stored(self, sequence: int) -> bool:
        """Whether the relay has said that it stores this sequence."""
        return sequence < self.next or sequence in self._early

    def is_in_flight(self, sequence: int) -> bool:
        """Whether the sequence was sent on this connection and is not answered yet."""
        return sequence in self._sent_at

    def missing(self, stop: int) -> Ranges:
        """Return what is not stored of 0..stop-1, as inclusive ranges."""
        early = RangeSet(sorted(self._early))
        return early.missing(stop, start=self.next)

    def sent(self, sequence: int, now: float) -> None:
        """The sequence goes out, for the first time or again."""
        self._sent_at.pop(sequence, None)
        self._sent_at[sequence] = now

    def stored(self, next_sequence: int, received: Ranges, stop: int) -> bool:
        """Book an acknowledgement, of sequences below `stop`; returns whether it is news.

        An old one that a newer one has overtaken takes nothing back.
        """
        before = len(self._sent_at)
        for sequence in range(self.next, min(next_sequence, stop)):
            self._sent_at.pop(sequence, None)
            self._early.discard(sequence)
            self.next = sequence + 1
        for sequence in members(received, self.next, stop):
            self._sent_at.pop(sequence, None)
            self._early.add(sequence)
        while self.next in self._early:
            self._early.discard(self.next)
            self.next += 1
        if len(self._sent_at) == before:
            return False
        self._resend_s = self._first_resend_s
        return True

    def refused(self, sequence: int) -> None:
        """The relay will not take this sequence, however often it is sent."""
        self._sent_at.pop(sequence, None)

    def disconnected(self) -> None:
        """Whatever was in flight may or may not have arrived."""
        self._sent_at.clear()
        self._resend_s = self._first_resend_s

    def restored(self, next_sequence: int, received: Ranges, stop: int) -> None:
        """Replace the books by what the relay says that it has.

        It may be less than it acknowledged before: then it has lost its memory.
        """
        self.disconnected()
        self.next = min(next_sequence, stop)
        self._early = set(members(received, self.next, stop))

    def deadline(self) -> float | None:
        """When the oldest sequence in flight is overdue."""
        for sent_at in self._sent_at.values():
            return sent_at + self._resend_s
        return None

    def overdue(self, now: float) -> list[int]:
        """Return what is overdue, in sequence order, and double the time for the next silence."""
        late = []
        for sequence, sent_at in self._sent_at.items():
            if now < sent_at + self._resend_s:
                break
            late.append(sequence)
        if late:
            self._resend_s = min(2 * self._resend_s, self._resend_max_s)
        return sorted(late)


def members(ranges: Ranges, low: int, high: int) -> Iterator[int]:
    """Yield the sequences of inclusive ranges that lie in low..high-1, however wide they are."""
    for first, last in ranges:
        yield from range(max(first, low), min(last + 1, high))
