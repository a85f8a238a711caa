"""What a simulation saw with its own eyes: the ledger that everything is judged by.

Facts stand in the order in which they happened. Nothing in them is asked of the relay but what
it said aloud: to a bot, to a device, to the log, to the trace store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from relay.admin.live import LiveStream
from relay.admin.trace_row import TraceRow
from relay.protocol.events import Abort, Chunk, End, Entry, HeldChunk, Summary
from relay.wire.bot import Outbound


@dataclass(frozen=True, slots=True)
class Happened:
    """The world's doing: a fault, a death, a healing."""

    what: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A device asked, and the relay opened a stream."""

    number: int
    key: int
    bot_id: int


@dataclass(frozen=True, slots=True)
class Granted:
    """A log was made or claimed."""

    epoch: str
    fence: int
    new: bool


@dataclass(frozen=True, slots=True)
class Wrote:
    """A write reached the log and was taken."""

    epoch: str
    fence: int
    entries: Sequence[Entry]
    held: Sequence[HeldChunk]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A log was forgotten."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of a bot reached the relay, on this connection."""

    connection: int
    message: Chunk | End | Summary | Abort


@dataclass(frozen=True, slots=True)
class Told:
    """The relay said something to a bot, on this connection."""

    connection: int
    message: Outbound


@dataclass(frozen=True, slots=True)
class BotCame:
    """A connection of a bot stands."""

    connection: int
    bot_id: int
    protocol: int


@dataclass(frozen=True, slots=True)
class BotLeft:
    """The relay knows that a bot's connection is gone, or the node at its end is."""

    connection: int
    bot_id: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A bot knows how its answer ended."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A device was given a reader of this log, behind this offset."""

    reader: int
    device: str
    epoch: str
    after: int
    prompt: bool
    """Whether it takes at once whatever there is."""
    node: str


@dataclass(frozen=True, slots=True)
class Handed:
    """A reader was handed these entries, and these bytes for its socket."""

    reader: int
    entries: Sequence[Entry]
    data: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """A reader is gone."""

    reader: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a device had shown when it was done with a stream, and the end that it was told."""

    device: str
    text: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Probed:
    """Somebody tried what is another's; it must not have been let in."""

    what: str
    let_in: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The trace store was given a row."""

    row: TraceRow
    node: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a node said of an open stream."""

    node: str
    live: LiveStream


What = (
    Happened
    | Asked
    | Granted
    | Wrote
    | Dropped
    | Heard
    | Told
    | BotCame
    | BotLeft
    | Settled
    | Joined
    | Handed
    | Left
    | Shown
    | Probed
    | Row
    | Sample
)

_W = TypeVar("_W")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened."""

    at: float
    """Seconds of virtual time."""
    order: int
    """How many facts came before it."""
    stream_id: str | None
    """Which stream it is about."""
    what: What


class Ledger:
    """The facts of one run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.facts: list[Fact] = []
        self.asked: set[str] = set()
        """The streams that were opened."""
        self._now = now

    def note(self, stream_id: str | None, what: What) -> None:
        """Keep a fact."""
        self.facts.append(Fact(self._now(), len(self.facts), stream_id, what))

    def happened(self, what: str) -> None:
        """Keep what the world did."""
        self.note(None, Happened(what))

    def of(self, kind: type[_W]) -> Iterator[tuple[Fact, _W]]:
        """Yield the facts of one kind."""
        for fact in self.facts:
            if isinstance(fact.what, kind):
                yield fact, fact.what

    def streams(self) -> dict[str, list[Fact]]:
        """Return the facts about each stream that was asked for, in the order of the questions."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            if fact.stream_id in self.asked:
                found.setdefault(fact.stream_id, []).append(fact)
        return found
