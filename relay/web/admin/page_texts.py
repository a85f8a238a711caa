"""Both texts of a trace side by side: what the bot sent, what the device was shown, what is lost.

The columns of a trace have no marks in their texts, so the places are found again from the
lengths of the chunks; where these do not fit (half characters, a malformed row), by comparing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from relay.admin.story import Point, points, runs, span
from relay.admin.trace_row import TraceRow

COMPARED_CHARS_MAX: Final = 800
"""Comparing takes time with the square of the length: where more differs, all of it is marked."""

SHOWN_CHARS_MAX: Final = 100_000
"""A longer text is cut: the page shows what can be read, the API has the whole."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, and what it is.

    same      in both texts
    lost      the bot sent it, the device was not shown it
    added     the device was shown it in place of what is missing: a repair, or a mark
    hole      nothing of the text: here chunks are missing, which `text` names
    cut       nothing of the text: the rest is left out
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Texts:
    """The two texts in pieces."""

    sent: tuple[Piece, ...]
    shown: tuple[Piece, ...]
    exact: bool
    """Whether each hole is where the timeline says; else the texts were only compared."""


def compare(row: TraceRow) -> Texts:
    """Return both texts with what is missing marked."""
    placed = _placed(row)
    if placed is not None:
        sent, shown = placed
    else:
        sent, shown = _compared(row.sdk_content, row.sse_content)
    return Texts(_cut(sent), _cut(shown), placed is not None)


# --- by the lengths of the chunks -------------------------------------------------------


def _placed(row: TraceRow) -> tuple[list[Piece], list[Piece]] | None:
    """Place each run of chunks in both texts; None where the lengths do not add up."""
    late = _late(row)
    logged = [chunk for chunk in sorted(points(row), key=_sequence) if chunk.sequence not in late]
    if sum(chunk.length for chunk in logged) != len(row.sdk_content):
        return None
    numbers = {chunk.sequence for chunk in logged}
    gone = sorted(set(row.missing_sequences) - numbers)
    sent: list[Piece] = []
    shown: list[Piece] = []
    at = seen = 0
    for run in _runs(logged, gone):
        if isinstance(run, range):
            hole = Piece("hole", span(run[0], run[-1]))
            sent.append(hole)
            shown.append(hole)
            continue
        length = sum(chunk.length for chunk in run)
        handed = sum(chunk.length for chunk in run if chunk.delivered is not None)
        text = row.sdk_content[at : at + length]
        at += length
        sent += _nonempty(Piece("same", text[:handed]), Piece("lost", text[handed:]))
        found = row.sse_content.find(text[:handed], seen) if handed else seen
        if found < 0 or (found > seen and not (shown and shown[-1].kind == "hole")):
            return None
        shown += _nonempty(
            Piece("added", row.sse_content[seen:found]), Piece("same", text[:handed])
        )
        if handed < length:
            unseen = [chunk.sequence for chunk in run if chunk.delivered is None]
            shown.append(Piece("hole", span(unseen[0], unseen[-1])))
        seen = found + handed
    shown += _nonempty(Piece("added", row.sse_content[seen:]))
    return sent, shown


def _late(row: TraceRow) -> set[int]:
    """Sequences that arrived after their place was given up: they are in no text."""
    gaps = (row.anomaly or {}).get("arrived_late")
    found: set[int] = set()
    for gap in gaps if isinstance(gaps, list) else []:
        match gap:
            case [int(first), int(last)] if 0 <= last - first <= len(row.timeline):
                found.update(range(first, last + 1))
            case _:
                pass
    return found


def _runs(logged: Sequence[Point], gone: Sequence[int]) -> list[list[Point] | range]:
    """Return runs of chunks, and between them runs of what is missing, in their order."""
    holes: list[list[Point] | range] = [range(run[0], run[-1] + 1) for run in runs(gone, len(gone))]
    found: list[list[Point] | range] = []
    for chunk in logged:
        while holes and isinstance(holes[0], range) and holes[0][0] < chunk.sequence:
            found.append(holes.pop(0))
        if found and isinstance(found[-1], list):
            found[-1].append(chunk)
        else:
            found.append([chunk])
    return [*found, *holes]


def _sequence(chunk: Point) -> int:
    return chunk.sequence


def _nonempty(*pieces: Piece) -> Iterator[Piece]:
    return (piece for piece in pieces if piece.text)


# --- by comparing -----------------------------------------------------------------------


def _compared(sent: str, shown: str) -> tuple[list[Piece], list[Piece]]:
    """Mark what differs between the common beginning and the common end."""
    head = _shared(sent, shown)
    tail = _shared(sent[head:][::-1], shown[head:][::-1])
    begin, end = sent[:head], sent[len(sent) - tail :]
    left, right = _differing(sent[head : len(sent) - tail], shown[head : len(shown) - tail])
    same = Piece("same", begin), Piece("same", end)
    return (
        list(_nonempty(same[0], *left, same[1])),
        list(_nonempty(same[0], *right, same[1])),
    )


def _shared(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _differing(sent: str, shown: str) -> tuple[list[Piece], list[Piece]]:
    if max(len(sent), len(shown)) > COMPARED_CHARS_MAX:
        return [Piece("lost", sent)], [Piece("added", shown)]
    left: list[Piece] = []
    right: list[Piece] = []
    for tag, a, b, c, d in SequenceMatcher(None, sent, shown, autojunk=False).get_opcodes():
        same = tag == "equal"
        left.append(Piece("same" if same else "lost", sent[a:b]))
        right.append(Piece("same" if same else "added", shown[c:d]))
    return left, right


def _cut(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    kept: list[Piece] = []
    room = SHOWN_CHARS_MAX
    for piece in pieces:
        if piece.kind != "hole" and len(piece.text) > room:
            kept.append(Piece(piece.kind, piece.text[:room]))
            kept.append(Piece("cut", "the rest is left out here"))
            break
        kept.append(piece)
        room -= 0 if piece.kind == "hole" else len(piece.text)
    return tuple(kept)
