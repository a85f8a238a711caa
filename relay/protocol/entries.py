"""Makes log entries: numbers them, and keeps what they say well-formed.

Also knows whether the device has exactly what the bot said so far: only then a repair is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Final

from msgspec.structs import replace

from relay.protocol.events import Entry, EntryKind, HeldChunk, Part, PartKind
from relay.protocol.sequencer import Run
from relay.protocol.status import Outcome
from relay.protocol.surrogates import code_units, join_halves, well_formed

_CHUNK: Final = EntryKind.CHUNK


class EntryWriter:
    """The end of one stream's log.

    While `intact`, what is written are exactly the sequences from 0 on, and nothing else.
    """

    __slots__ = ("_parting", "carry", "intact", "next_offset")

    def __init__(self) -> None:
        self.next_offset = 1
        self.intact = True
        self.carry = ""
        """Half of a character that waits for its other half."""
        self._parting: Part | None = None

    def chunk(self, chunk: HeldChunk) -> Entry:
        """Write a chunk, at the time of its arrival."""
        self._note(chunk.part)
        return self._entry(
            EntryKind.CHUNK, chunk.at, chunk.content, sequence=chunk.sequence, part=chunk.part
        )

    def chunks(self, contents: Sequence[str], first: int, at: float) -> list[Entry]:
        """Write well-formed texts of neighbouring sequences, arrived together, nothing waiting."""
        offset = self.next_offset
        stop = self.next_offset = offset + len(contents)
        if len(contents) == 1:  # mostly, where the relay keeps up
            return [Entry(offset, _CHUNK, at, contents[0], first)]
        sequences = range(first, first + len(contents))
        kinds, times = repeat(_CHUNK), repeat(at)
        return list(map(Entry, range(offset, stop), kinds, times, contents, sequences))

    def repair(self, text: str, at: float) -> Entry:
        """Write text that a summary supplied."""
        self.intact = False
        return self._entry(EntryKind.REPAIR, at, text)

    def given_up(self, runs: list[Run], mark: str, at: float) -> list[Entry]:
        """Write held runs, each behind a gap that shows `mark`."""
        entries: list[Entry] = []
        for run in runs:
            self.intact = False
            entries.append(self._entry(EntryKind.GAP, at, mark, sequence=run.gap[0]))
            entries.extend(self.chunk(chunk) for chunk in run.chunks)
        return entries

    def ending(self, at: float, stated: int | None) -> Entry:
        """Write that `stream_end` arrived and is held."""
        return self._entry(EntryKind.ENDING, at, total_chunks=stated)

    def part_with(self, part: Part) -> None:
        """Let the terminal entry carry this."""
        self._parting = part

    def end(self, at: float, total: int, outcome: Outcome, shown: str = "") -> Entry:
        """Write the terminal entry, with the newest suggestions and a text for the device.

        That text is not the answer's: half a character that waits for its other half is not
        joined with it.
        """
        end = self._entry(
            EntryKind.END, at, total_chunks=total, outcome=outcome, part=self._parting
        )
        return replace(end, content=well_formed(shown)) if shown else end

    def replay(self, entry: Entry) -> str:
        """Take over an entry that is in the log already; returns its raw content."""
        raw = entry.content
        if self.carry and raw:
            # Its first character holds the half that was waiting, or stands in for it.
            raw = code_units(raw[0])[1:] + raw[1:]
        if entry.content or not self.carry:
            raw += entry.carry  # else nothing came, and the same half waits on
        self.carry = entry.carry
        self.next_offset = entry.offset + 1
        self._note(entry.part)
        if entry.kind in (EntryKind.GAP, EntryKind.REPAIR):
            self.intact = False
        return raw

    def _note(self, part: Part | None) -> None:
        if part is not None and part.kind is PartKind.FOLLOW_UP:
            self._parting = part

    def _entry(
        self,
        kind: EntryKind,
        at: float,
        raw: str = "",
        *,
        sequence: int | None = None,
        total_chunks: int | None = None,
        outcome: Outcome | None = None,
        part: Part | None = None,
    ) -> Entry:
        content, self.carry = join_halves(self.carry, raw)
        offset = self.next_offset
        self.next_offset += 1
        return Entry(offset, kind, at, content, sequence, self.carry, total_chunks, outcome, part)
