"""The loss report: which sequences were lost, where in the answer, and how it was timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relay.protocol.rangeset import Ranges
from relay.protocol.report import Arrival, RepairedBy


class LossPosition(StrEnum):
    """Where in 0..n-1 the missing sequences lie."""

    HEAD = "head"
    """All in the first quarter."""
    MIDDLE = "middle"
    """All between the first and the last quarter."""
    TAIL = "tail"
    """All in the last quarter."""
    MIXED = "mixed"
    """In more than one of these parts."""


@dataclass(frozen=True, slots=True)
class Delays:
    """The three figures of the trace, in seconds; None where there is nothing to measure."""

    first_chunk_s: float | None
    """First chunk received - request."""
    average_interval_s: float | None
    """Mean gap between chunks in the order of their arrival."""
    last_chunk_s: float | None
    """`stream_end` - last chunk received before it."""


@dataclass(slots=True)
class Tally:
    """What is counted while a stream runs."""

    arrivals: list[Arrival] = field(default_factory=list)
    duplicates: int = 0
    refused: int = 0
    withheld: set[int | None] = field(default_factory=set)
    """Chunks that were refused and have not been taken since; None for one without a number."""
    retransmitted: bool = False
    repaired: bool = False
    late: Ranges = ()
    """Sequences that came too late for an owner before this one."""
    asked: Ranges = ()
    """Sequences that an owner before this one asked for."""

    def repaired_by(self, *, whole: bool) -> RepairedBy | None:
        """What made the text whole, if anything had to. `whole`: every sequence arrived."""
        if self.repaired:
            return RepairedBy.SUMMARY
        return RepairedBy.RETRANSMIT if self.retransmitted and whole else None


def locate(missing: Ranges, total: int) -> LossPosition | None:
    """Say in which part of 0..total-1 all of `missing` lies. None without loss."""
    if not missing:
        return None
    first, last = missing[0][0], missing[-1][1]
    if 4 * last < total:
        return LossPosition.HEAD
    if 4 * (first + 1) > 3 * total:
        return LossPosition.TAIL
    if 4 * first >= total and 4 * (last + 1) <= 3 * total:
        return LossPosition.MIDDLE
    return LossPosition.MIXED


def measure(arrivals: Sequence[Arrival], opened_at: float, ended_at: float | None) -> Delays:
    """Compute the three delays. A chunk that came after the end does not shorten the last one."""
    if not arrivals:
        return Delays(None, None, None)
    times = sorted(arrival.at for arrival in arrivals)
    span = times[-1] - times[0]
    last: float | None = None
    if ended_at is not None:
        before = [at for at in times if at <= ended_at]
        last = ended_at - before[-1] if before else None
    return Delays(
        first_chunk_s=times[0] - opened_at,
        average_interval_s=span / (len(times) - 1) if len(times) > 1 else None,
        last_chunk_s=last,
    )
