"""Repairs a loss from the bot's own summary: exactly, or not at all.

The log holds a contiguous prefix of the answer and, held behind gaps, runs of later chunks.
A summary claims the whole text. Only where its hash matches its text, its count is possible,
its text starts with the prefix and contains the held runs in their order, the parts between
them are the lost text. Anything else is an anomaly, and not a character of it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.protocol.events import HeldChunk, Summary
from relay.protocol.report import Disagreement
from relay.protocol.sequencer import Run
from relay.protocol.surrogates import code_units
from relay.protocol.texthash import content_hash


@dataclass(frozen=True, slots=True)
class Piece:
    """What to append, in order: a chunk that was held, or text for an inclusive gap."""

    chunk: HeldChunk | None
    gap: tuple[int, int] | None
    text: str


@dataclass(frozen=True, slots=True)
class Repair:
    """The pieces that make the text whole; empty where nothing was missing."""

    pieces: tuple[Piece, ...]


def assess(
    summary: Summary,
    *,
    prefix: Sequence[str],
    runs: Sequence[Run],
    stated_total: int | None,
) -> Repair | Disagreement:
    """Compare a summary with what arrived.

    `prefix` are the contents of the sequences from 0 on, none given up; `runs` what is held
    beyond it; `stated_total` the end's own count, where the bot gave one.
    """
    if summary.content_hash is None or content_hash(summary.total_content) != summary.content_hash:
        return Disagreement.HASH
    total = summary.total_chunks
    next_sequence = len(prefix)
    highest_end = runs[-1].chunks[-1].sequence + 1 if runs else next_sequence
    if total < highest_end or (stated_total is not None and stated_total != total):
        return Disagreement.COUNT
    text = code_units(summary.total_content)
    shown = "".join(map(code_units, prefix))
    if not text.startswith(shown):
        return Disagreement.PREFIX
    return _fill(text, len(shown), next_sequence, runs, total)


def _fill(
    text: str, at: int, next_sequence: int, runs: Sequence[Run], total: int
) -> Repair | Disagreement:
    """Find the held runs in `text[at:]`, leftmost first; what lies between is the lost text.

    Leftmost matching with a minimum per gap finds a placement whenever there is one. The
    minimum is one code unit per lost chunk: no SDK sends text that is empty. A chunk that
    carries a part may have no text, and no summary can bring the part back. Where such a loss
    leaves too little text to fill its gap there is no repair, and the stream ends with what is
    missing; in a longer gap the text is made whole, and the part stays among the missing.
    """
    pieces: list[Piece] = []
    for position, run in enumerate(runs):
        body = "".join(code_units(chunk.content) for chunk in run.chunks)
        least = run.gap[1] - run.gap[0] + 1
        is_last = position == len(runs) - 1
        if is_last and run.chunks[-1].sequence + 1 == total:
            found = len(text) - len(body)
            if found < at + least or not text.endswith(body):
                return Disagreement.CONTENT
        else:
            found = text.find(body, at + least)
            if found < 0:
                return Disagreement.CONTENT
        pieces.append(Piece(None, run.gap, text[at:found]))
        pieces.extend(Piece(chunk, None, chunk.content) for chunk in run.chunks)
        at = found + len(body)
        next_sequence = run.chunks[-1].sequence + 1
    lost_tail = total - next_sequence
    rest = text[at:]
    if lost_tail == 0:
        # Nothing is missing behind the last chunk, so nothing may be left of the text.
        return Disagreement.COUNT if rest else Repair(tuple(pieces))
    if len(rest) < lost_tail:
        return Disagreement.COUNT
    pieces.append(Piece(None, (next_sequence, total - 1), rest))
    return Repair(tuple(pieces))
