"""Puts numbered chunks in order.

`offer` says what became of one chunk; chunks that are ready come out in sequence order.
Duplicates are found by exact membership: "smaller than the highest seen" would throw away
a chunk that was merely overtaken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from relay.protocol.events import HeldChunk, Part, RefusalCode
from relay.protocol.limits import CHUNK_COST_BYTES
from relay.protocol.rangeset import Ranges, RangeSet


class Verdict(Enum):
    """What became of a chunk that was offered."""

    READY = auto()
    """Released, together with the held chunks that it unlocks."""
    HELD = auto()
    """Stored early: something before it is missing."""
    DUPLICATE = auto()
    """The same chunk again."""
    CONFLICT = auto()
    """The sequence again with other content or another part. The first one stands."""
    LATE = auto()
    """Its place has been given up and passed."""
    OUT_OF_WINDOW = auto()
    """Too far ahead of the first missing one."""
    HOLD_FULL = auto()
    """No room to hold it."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring held chunks and the inclusive range that is missing before them."""

    gap: tuple[int, int]
    chunks: tuple[HeldChunk, ...]


REFUSALS = {
    Verdict.CONFLICT: (
        RefusalCode.CONFLICT,
        "this sequence was taken with other content; the first one stands",
    ),
    Verdict.OUT_OF_WINDOW: (
        RefusalCode.OUT_OF_WINDOW,
        "too far ahead of the first missing sequence; send the missing ones first",
    ),
    Verdict.HOLD_FULL: (
        RefusalCode.HOLD_FULL,
        "no room to hold this early chunk; send the missing ones first",
    ),
}
"""Why a chunk that was not taken was not."""


class Sequencer:
    """The order of one stream's chunks.

    `next` is the sequence that the log waits for. Everything below it was released or given
    up; `accepted` holds what was released or is held, `late` what arrived too late.
    """

    __slots__ = (
        "_contents",
        "_first_contents",
        "_held",
        "_held_bytes_max",
        "_parts",
        "_window",
        "accepted",
        "held_bytes",
        "late",
        "next",
    )

    def __init__(self, *, window: int, held_bytes_max: int) -> None:
        self._window = window
        self._held_bytes_max = held_bytes_max
        self._held: dict[int, HeldChunk] = {}
        self._first_contents: list[str] = []
        """Of the sequences from 0 on, as far as they came in order: mostly all of them."""
        self._contents: dict[int, str] = {}
        self._parts: dict[int, Part] = {}
        self.next = 0
        self.accepted = RangeSet()
        self.late = RangeSet()
        self.held_bytes = 0

    @property
    def held(self) -> tuple[HeldChunk, ...]:
        """The early chunks, in sequence order."""
        return tuple(self._held[sequence] for sequence in sorted(self._held))

    @property
    def held_count(self) -> int:
        """How many chunks wait for a missing one."""
        return len(self._held)

    @property
    def early(self) -> Ranges:
        """The sequences of the early chunks."""
        return RangeSet(chunk.sequence for chunk in self.held).ranges() if self._held else ()

    @property
    def gap_since(self) -> float | None:
        """When the first of the held chunks arrived; None without a gap."""
        return min((chunk.at for chunk in self._held.values()), default=None)

    def has(self, sequence: int) -> bool:
        """Whether this sequence has come, in time or late."""
        return sequence in self.accepted or sequence in self.late

    def offer(self, chunk: HeldChunk) -> tuple[Verdict, list[HeldChunk]]:
        """Take one chunk; returns what became of it and what is released by it."""
        sequence = chunk.sequence
        if self.has(sequence):
            return (Verdict.DUPLICATE if self._knows(chunk) else Verdict.CONFLICT), []
        if sequence < self.next:
            self.late.add(sequence)
            self._remember(chunk)
            return Verdict.LATE, []
        if sequence > self.next:
            return self._try_to_hold(chunk), []
        self._take(chunk)
        released = [chunk]
        self.next += 1
        while self._held and (follower := self._held.pop(self.next, None)) is not None:
            self.held_bytes -= cost_bytes(follower)
            released.append(follower)
            self.next += 1
        return Verdict.READY, released

    @property
    def unbroken(self) -> bool:
        """Whether nothing is held and the last number was not given up."""
        # What is held has a size: to ask it costs no look at the dictionary.
        return not self.held_bytes and self.accepted.highest == self.next - 1

    def contents(self) -> list[str]:
        """Return what was said from sequence 0 on, up to the first one that is missing."""
        ranges = self.accepted.ranges()
        stop = ranges[0][1] + 1 if ranges and ranges[0][0] == 0 else 0
        first = self._first_contents[:stop]
        return first + [self._contents[number] for number in range(len(first), stop)]

    def take_next(self, contents: Sequence[str]) -> None:
        """Release the chunks of the next numbers at once. Only while `unbroken`."""
        first = self.next
        self.accepted.extend(len(contents))
        if first == len(self._first_contents):
            self._first_contents.extend(contents)
        else:
            self._contents.update(enumerate(contents, first))
        self.next = first + len(contents)

    def hold(self, chunk: HeldChunk) -> None:
        """Hold a new early chunk whatever it costs: what is held is about to be released."""
        self._take(chunk)
        self._held[chunk.sequence] = chunk
        self.held_bytes += cost_bytes(chunk)

    def _try_to_hold(self, chunk: HeldChunk) -> Verdict:
        if chunk.sequence > self.next + self._window:
            return Verdict.OUT_OF_WINDOW
        if self.held_bytes + cost_bytes(chunk) > self._held_bytes_max:
            return Verdict.HOLD_FULL
        self.hold(chunk)
        return Verdict.HELD

    def _take(self, chunk: HeldChunk) -> None:
        self.accepted.add(chunk.sequence)
        self._remember(chunk)

    def _remember(self, chunk: HeldChunk) -> None:
        if chunk.sequence == len(self._first_contents):
            self._first_contents.append(chunk.content)
        else:
            self._contents[chunk.sequence] = chunk.content
        if chunk.part is not None:
            self._parts[chunk.sequence] = chunk.part

    def _knows(self, chunk: HeldChunk) -> bool:
        if chunk.sequence < len(self._first_contents):
            same = self._first_contents[chunk.sequence] == chunk.content
        else:
            same = self._contents.get(chunk.sequence) == chunk.content
        return same and self._parts.get(chunk.sequence) == chunk.part

    def runs(self) -> list[Run]:
        """Return the held chunks as runs, each with the gap before it."""
        runs: list[Run] = []
        expected = self.next
        batch: list[HeldChunk] = []
        gap = (0, 0)
        for chunk in self.held:
            if chunk.sequence != expected:
                if batch:
                    runs.append(Run(gap, tuple(batch)))
                    batch = []
                gap = (expected, chunk.sequence - 1)
            batch.append(chunk)
            expected = chunk.sequence + 1
        if batch:
            runs.append(Run(gap, tuple(batch)))
        return runs

    def give_up(self) -> list[Run]:
        """Release everything that is held; what is missing before it is given up for good."""
        runs = self.runs()
        if runs:
            self.next = runs[-1].chunks[-1].sequence + 1
        self._held.clear()
        self.held_bytes = 0
        return runs

    def skip_to(self, sequence: int) -> None:
        """Give up everything below `sequence` (a repair supplied it as text)."""
        self.next = max(self.next, sequence)


def cost_bytes(chunk: HeldChunk) -> int:
    """Return what a chunk takes of a limit in bytes: its content, its part, and a fixed charge."""
    part_bytes = 0 if chunk.part is None else len(chunk.part.body.encode())
    return len(chunk.content.encode("utf-8", "surrogatepass")) + part_bytes + CHUNK_COST_BYTES
