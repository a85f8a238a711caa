"""What a device asks its bot to do, as the words of the question; and what it must read then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Final

KINDS: Final = {
    "whole": 50,
    "shuffled": 8,
    "lost_tail": 6,
    "lost_middle": 6,
    "failed": 6,
    "abandoned": 3,
    "cut": 8,
    "flood": 1,
}
"""How an answer goes, and how often among each other."""

FILLER: Final = "今天天气真好，我们"
FLOOD_CHUNKS: Final = 150
FLOOD_BYTES: Final = 4_000

_PIECE: Final = re.compile(r"<(\d+)/(\d+)>")


@dataclass(frozen=True, slots=True)
class Wish:
    """One answer to be given."""

    kind: str
    chunks: int
    pace_s: float

    def __str__(self) -> str:
        return f"{self.kind} {self.chunks} {self.pace_s:g}"

    @property
    def pieces(self) -> list[str]:
        """The chunks of the whole answer."""
        filler = "x" * FLOOD_BYTES if self.kind == "flood" else FILLER
        return [f"<{number}/{self.chunks}>{filler}" for number in range(self.chunks)]


def read_wish(text: str) -> Wish:
    """Read what `str` of a wish has written; raises `ValueError` for anything else."""
    kind, chunks, pace_s = text.split()
    return Wish(kind, int(chunks), float(pace_s))


def draw_wish(rng: Random) -> Wish:
    """Draw one."""
    kind = rng.choices(list(KINDS), weights=list(KINDS.values()))[0]
    if kind == "flood":
        return Wish(kind, FLOOD_CHUNKS, 0.0)
    return Wish(kind, rng.randint(3, 30), rng.choice((0.0, 0.005, 0.02, 0.05)))


def order_fault(text: str) -> str:
    """Say which piece of this text is out of order or there twice; empty where none is."""
    last = -1
    for match in _PIECE.finditer(text):
        number = int(match[1])
        if number <= last:
            return f"piece {number} behind piece {last}"
        last = number
    return ""


def is_whole(text: str) -> bool:
    """Whether the text is every piece of one answer, in order, once."""
    found = _PIECE.findall(text)
    if not found:
        return False
    total = int(found[0][1])
    return [int(number) for number, _ in found] == list(range(total))
