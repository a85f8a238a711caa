"""The loss report, as a value: how one stream went, from the bot to the log.

`relay.protocol.forensics` makes it and reads it.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from relay.protocol.rangeset import Ranges
from relay.protocol.status import Outcome, Status


class RepairedBy(StrEnum):
    """What made a lost part whole again."""

    RETRANSMIT = "retransmit"
    """The bot sent it again when asked."""
    SUMMARY = "summary"
    """A verified summary supplied the text."""


class Disagreement(StrEnum):
    """What about a summary is not true."""

    HASH = "hash"
    """The hash is missing, or is not the hash of the summary's own text."""
    COUNT = "count"
    """The count contradicts the sequences that arrived, or the end's own count."""
    PREFIX = "prefix"
    """The text does not start with what was delivered."""
    CONTENT = "content"
    """The text does not contain the later chunks in their order."""
    OVERLAP = "overlap"
    """The stream overlapped another of the same legacy connection."""


class Arrival(Struct, frozen=True, gc=False):
    """One accepted chunk: when it first arrived and how long it was."""

    sequence: int
    at: float
    length: int
    """Characters."""


class LossReport(Struct, frozen=True):
    """How one stream went, from the bot to the log. Delivery is the node's part of the trace."""

    status: Status
    outcome: Outcome
    detail: str
    """What the bot or the relay said about a failure; for operators, never for the device."""
    total_chunks: int
    """n."""
    total_known: bool
    """Whether n was stated, or only guessed from the highest sequence."""
    received: int
    """Distinct sequences that arrived in time."""
    missing: Ranges
    """Sequences of 0..n-1 that were not there in time. Stays when a summary repaired the text."""
    late: Ranges
    """Those of `missing` that arrived after their place was given up."""
    duplicates: int
    refused: int
    """How often a chunk was refused, repetitions included."""
    withheld: int
    """Distinct chunks that were refused and never taken: losses that `missing` may not show."""
    repaired_by: RepairedBy | None
    disagreement: Disagreement | None
    """Why the summary was not believed; None without a summary or with a true one."""
    numbered_by_arrival: bool
    """The bot's own numbers were absent or could not be trusted."""
    overlapped: bool
    opened_at: float
    ended_at: float | None
    """When `stream_end` arrived; None where the stream ended otherwise."""
    arrivals: tuple[Arrival, ...]
    """In the order of arrival."""
