"""One stream, as the ledger has it: what the checkers of invariants.py read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from relay.protocol.events import Chunk, End, Entry, EntryKind, HeldChunk, Summary
from relay.protocol.limits import CHUNK_COST_BYTES
from relay.protocol.status import Outcome
from relay.wire.bot import Acked, Connected, OpenStreamState
from tests.simulation.facts import (
    Asked,
    BotCame,
    Fact,
    Granted,
    Handed,
    Happened,
    Heard,
    Joined,
    Left,
    Shown,
    Told,
    Wrote,
)
from tests.simulation.plan import BotPlan, Fault, Kind
from tests.simulation.run import Run

BROKER_FAULTS = (Fault.CRASH, Fault.STALL, Fault.CUT, Fault.DRAIN, Fault.APPENDS, Fault.FLUSH)
"""Whatever takes a stream's owner away from its log."""

_W = TypeVar("_W")


@dataclass
class Shelf:
    """What a log holds at some moment: replayed from its writes."""

    entries: list[Entry] = field(default_factory=list)
    held: dict[int, HeldChunk] = field(default_factory=dict)
    contents: dict[int, HeldChunk | Entry] = field(default_factory=dict)
    """What was stored first under each sequence."""
    given_up: int = 0
    """Below it everything is in the log or was given up."""
    bytes: int = 0

    def take(self, wrote: Wrote) -> None:
        """Take a write."""
        for chunk in wrote.held:
            self.held[chunk.sequence] = chunk
            self.bytes += cost(chunk)
            self.contents.setdefault(chunk.sequence, chunk)
        for entry in wrote.entries:
            self.entries.append(entry)
            if entry.kind is EntryKind.CHUNK and entry.sequence is not None:
                if self.held.pop(entry.sequence, None) is None:
                    self.bytes += cost(entry)
                self.contents.setdefault(entry.sequence, entry)
                self.given_up = max(self.given_up, entry.sequence + 1)
            if entry.kind is EntryKind.END:
                self.given_up = 2_000_000

    def has(self, sequence: int) -> bool:
        """Whether this is stored, or its place was given up."""
        return sequence in self.contents or sequence < self.given_up

    @property
    def end(self) -> Entry | None:
        """The terminal entry."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.kind is EntryKind.END else None

    @property
    def sequences(self) -> list[int]:
        """The sequences of the chunks in the log, in its order."""
        return [
            entry.sequence
            for entry in self.entries
            if entry.kind is EntryKind.CHUNK and entry.sequence is not None
        ]


def cost(chunk: HeldChunk | Entry) -> int:
    """Return what a chunk takes of a limit in bytes."""
    part = 0 if chunk.part is None else len(chunk.part.body.encode())
    return len(chunk.content.encode()) + part + CHUNK_COST_BYTES


@dataclass
class Reader:
    """One connection of one device."""

    joined: Joined
    at: float
    left_at: float | None = None
    handed: list[tuple[float, Handed]] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """All that it was handed."""
        return [entry for _, handed in self.handed for entry in handed.entries]


class Story:
    """One stream."""

    def __init__(self, run: Run, stream_id: str, facts: Sequence[Fact]) -> None:
        self.run = run
        self.plan = run.plan
        self.stream_id = stream_id
        self.facts = list(facts)
        ((_, self.asked),) = self.of(Asked)
        self.bot: BotPlan = next(b for b in self.plan.bots if b.bot_id == self.asked.bot_id)
        self.question = self.plan.questions[self.asked.number]
        self.readers: dict[int, Reader] = {}
        self.shelves: dict[str, Shelf] = {}
        """The logs at the end of it all, by epoch, the last one last."""
        for fact in self.facts:
            self._read(fact)

    def _read(self, fact: Fact) -> None:
        match fact.what:
            case Granted(epoch):
                self.shelves.setdefault(epoch, Shelf())
            case Wrote(epoch) as wrote:
                self.shelves[epoch].take(wrote)
            case Joined(reader) as joined:
                self.readers[reader] = Reader(joined, fact.at)
            case Handed(reader) as handed:
                self.readers[reader].handed.append((fact.at, handed))
            case Left(reader):
                self.readers[reader].left_at = fact.at
            case _:
                pass

    def of(self, kind: type[_W]) -> Iterator[tuple[Fact, _W]]:
        """Yield the facts of one kind."""
        for fact in self.facts:
            if isinstance(fact.what, kind):
                yield fact, fact.what

    # --- what was said -----------------------------------------------------------------------

    @property
    def wild(self) -> bool:
        """Whether the bot keeps no rule."""
        return self.bot.kind is Kind.WILD

    @property
    def numbered(self) -> bool:
        """Whether the bot's numbers mean anything: it counts, and one answer at a time."""
        return self.bot.kind is not Kind.COUNTED and not self.overlaps

    @property
    def overlaps(self) -> bool:
        """Whether a legacy bot may answer another question at the same time."""
        others = [question for question in self.plan.questions if question is not self.question]
        legacy = self.bot.kind in {Kind.COUNTED, Kind.NUMBERED}
        return legacy and self.bot.bot_id in {question.bot_id for question in others}

    def said(self, sequence: int | None) -> list[str]:
        """Return what the bot said under this number."""
        return self.run.said.get((self.stream_id, sequence), [])

    def heard(self) -> Iterator[tuple[Fact, Heard]]:
        """Yield what the relay heard of the stream's own bot."""
        for fact, heard in self.of(Heard):
            if self.run.bot_of.get(heard.connection) == self.bot.bot_id:
                yield fact, heard

    def chunks_heard(self) -> Iterator[tuple[Fact, Heard, Chunk]]:
        """Yield the chunks among it."""
        for fact, heard in self.heard():
            if isinstance(heard.message, Chunk):
                yield fact, heard, heard.message

    @property
    def end_heard(self) -> Fact | None:
        """When the relay first heard that the answer has ended."""
        return next((f for f, heard in self.heard() if isinstance(heard.message, End)), None)

    @property
    def stated(self) -> set[int | None]:
        """The totals that ends stated."""
        return {h.message.total_chunks for _, h in self.heard() if isinstance(h.message, End)}

    @property
    def summaries(self) -> list[Summary]:
        """The summaries that were heard."""
        return [h.message for _, h in self.heard() if isinstance(h.message, Summary)]

    # --- what came of it ---------------------------------------------------------------------

    @property
    def shelf(self) -> Shelf:
        """The last log."""
        return self.shelves[next(reversed(self.shelves))]

    @property
    def ended_at(self) -> float | None:
        """When the last log got its end."""
        times = [f.at for f, w in self.of(Wrote) if w.entries and w.entries[-1] is self.shelf.end]
        return times[0] if times else None

    @property
    def outcome(self) -> Outcome | None:
        """How the last log ended."""
        return None if self.shelf.end is None else self.shelf.end.outcome

    @property
    def lost_at(self) -> float | None:
        """When its log was lost with its process, for good, or its process behind its log."""
        if self.plan.shared and not self.plan.has(Fault.FLUSH):
            return None
        (*_, (made, _)) = self.of(Granted)
        deaths = (
            fact.at
            for fact, happened in self.run.ledger.of(Happened)
            if fact.order > made.order and happened.what.endswith((" dies", " is asked to end"))
        )
        return next(deaths, None)

    @property
    def undisturbed(self) -> bool:
        """Whether nothing ever came between the stream's owner and its log."""
        return not self.plan.has(*BROKER_FAULTS)

    def shelf_at(self, order: int) -> Shelf:
        """Return the log that the stream had when this was fact number `order`, as it became."""
        epochs = [granted.epoch for fact, granted in self.of(Granted) if fact.order < order]
        return self.shelves[epochs[-1]]

    def read_to_end(self, device: str) -> Shelf | None:
        """Return the log whose end the device was handed last; None where it was handed none."""
        found = None
        for reader in self.readers.values():
            ends = [entry for entry in reader.entries if entry.kind is EntryKind.END]
            if reader.joined.device == device and ends:
                found = self.shelves[reader.joined.epoch]
        return found

    def acks(self) -> Iterator[tuple[Fact, Acked | OpenStreamState]]:
        """Yield all that the relay said to be stored."""
        for fact, told in self.of(Told):
            if isinstance(told.message, Acked):
                yield fact, told.message
            elif isinstance(told.message, Connected):
                for state in told.message.streams:
                    if isinstance(state, OpenStreamState) and state.stream_id == self.stream_id:
                        yield fact, state

    def shown(self) -> Iterator[Shown]:
        """Yield what devices had shown in the end."""
        for _, shown in self.of(Shown):
            yield shown


def stories(run: Run) -> list[Story]:
    """Return the streams of a run."""
    run.bot_of.update({came.connection: came.bot_id for _, came in run.ledger.of(BotCame)})
    found = run.ledger.streams()
    for fact, told in run.ledger.of(Told):
        if isinstance(told.message, Connected):
            for state in told.message.streams:
                if state.stream_id in found:
                    found[state.stream_id].append(fact)
    for facts in found.values():
        facts.sort(key=lambda fact: fact.order)
    return [Story(run, stream_id, facts) for stream_id, facts in found.items()]
