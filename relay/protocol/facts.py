"""What is known about a stream and stands in none of its entries: kept beside the log.

An owner that is rebuilt from entries and held chunks alone would not know that a summary has
come, that the bot's numbers mean nothing, or since when the bot is gone. It would judge and
repair otherwise than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.protocol.events import Summary
from relay.protocol.rangeset import Ranges
from relay.protocol.report import Disagreement
from relay.protocol.state import StreamState


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the log does not say. Of a new stream nothing."""

    by_arrival: bool = False
    overlapped: bool = False
    broken: bool = False
    lost_at: float | None = None
    """Since when the bot has no connection."""
    back_at: float | None = field(default=None, compare=False)
    """When a connection last took the stream up. By itself no reason to write."""
    content_hash: str | None = None
    """The hash of the whole text as the end stated it."""
    summarised: int | None = None
    claimed: int | None = None
    summary: Summary | None = None
    disagreement: Disagreement | None = None
    detail: str = ""
    duplicates: int = 0
    refused: int = 0
    withheld: tuple[int | None, ...] = ()
    late: Ranges = ()
    asked: Ranges = ()
    """What the bot was asked to send again and has not sent yet."""
    retransmitted: bool = False


NOTHING = Facts()
"""The facts of a new stream."""


def facts_of(state: StreamState) -> Facts:
    """Return what is to be kept of this state."""
    barrier, tally = state.barrier, state.tally
    return Facts(
        by_arrival=state.by_arrival,
        overlapped=state.overlapped,
        broken=state.broken,
        lost_at=state.lost_at,
        back_at=state.back_at,
        content_hash=barrier.content_hash,
        summarised=barrier.summarised,
        claimed=barrier.claimed,
        summary=state.summary,
        disagreement=state.disagreement,
        detail=state.detail,
        duplicates=tally.duplicates,
        refused=tally.refused,
        withheld=tuple(sorted(tally.withheld, key=lambda one: -1 if one is None else one)),
        late=state.late,
        asked=state.asked,
        retransmitted=tally.retransmitted,
    )


def recall(state: StreamState, facts: Facts) -> None:
    """Let a state that has read its log know these facts, too."""
    barrier, tally = state.barrier, state.tally
    state.by_arrival, state.overlapped = facts.by_arrival, facts.overlapped
    state.broken, state.lost_at = facts.broken, facts.lost_at
    state.back_at = max(state.back_at, facts.back_at or state.back_at)
    barrier.content_hash, barrier.claimed = facts.content_hash, facts.claimed
    if facts.overlapped or facts.summarised is not None:
        barrier.summarised = facts.summarised
    state.summary, state.disagreement = facts.summary, facts.disagreement
    state.detail = facts.detail
    tally.duplicates, tally.refused = facts.duplicates, facts.refused
    tally.withheld.update(facts.withheld)
    tally.retransmitted = facts.retransmitted
    tally.late, tally.asked = facts.late, facts.asked
    # The log has them in their order; without a takeover they are told as they came.
    tally.arrivals.sort(key=lambda arrival: arrival.at)
    if state.outcome is not None:
        # The log's end cannot count what came behind it: late chunks, a summary with a higher n.
        state.extend(max(state.count, facts.late[-1][1] + 1 if facts.late else 0))
