"""The recorded incident of 2026-02-27, in which 57 of 60 chunks reached the glasses.

The recording keeps facts only: times, the order of arrival at the server, and the length of
each chunk. The texts are made up here, always the same, with what the old system lost.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RECORDING: Final = Path(__file__).with_name("incident_2026-02-27.csv")

ALPHABET: Final = "今天天气真好，🦞我们去公园看花吧。 \n风很轻\t云很淡🎉水是蓝的！\u3000ok"
"""Chinese, emoji outside the BMP, and each kind of whitespace that was once taken for nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a bot: a chunk, or (`sequence` None) the end."""

    at: float
    """Seconds after the request."""
    sequence: int | None
    content: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its answer."""

    frames: tuple[Frame, ...]
    """Chunks and ends as they arrived: five neighbours of the second turn are swapped."""

    @property
    def chunks(self) -> tuple[str, ...]:
        """The contents in sequence order."""
        numbered = {f.sequence: f.content for f in self.frames if f.sequence is not None}
        return tuple(numbered[sequence] for sequence in sorted(numbered))

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.chunks)

    @property
    def ends(self) -> tuple[Frame, ...]:
        """The `stream_end` frames: the bot of the recording sent two."""
        return tuple(frame for frame in self.frames if frame.sequence is None)

    @property
    def first_at(self) -> float:
        """When the first chunk arrived."""
        return min(frame.at for frame in self.frames if frame.sequence is not None)

    @property
    def last_at(self) -> float:
        """When the last chunk arrived."""
        return max(frame.at for frame in self.frames if frame.sequence is not None)


@dataclass(frozen=True, slots=True)
class OldSystem:
    """What the system of the recording made of the second turn, as it was recorded."""

    sent: int = 60
    delivered: int = 57
    position: str = "tail"
    added_ms: float = 160.0
    """The median that it added to a chunk: two polls of 100 ms, one behind the other."""


def load_incident() -> tuple[Turn, ...]:
    """Return the turns of the recording: 3 chunks, then 60."""
    frames: dict[int, list[Frame]] = {}
    with RECORDING.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            turn, at = int(row["turn"]), int(row["t_ms"]) / 1000
            of_turn = frames.setdefault(turn, [])
            if row["type"] == "stream_chunk":
                sequence = int(row["sequence"])
                content = made_up(turn, sequence, int(row["content_chars"]))
                of_turn.append(Frame(at, sequence, content))
            elif row["type"] == "stream_end":
                of_turn.append(Frame(at, None, ""))
    return tuple(Turn(tuple(frames[turn])) for turn in sorted(frames))


def made_up(turn: int, sequence: int, length: int) -> str:
    """Return the text of one chunk, exactly `length` characters (code points)."""
    start = 11 * turn + 7 * sequence
    return "".join(ALPHABET[(start + 5 * index) % len(ALPHABET)] for index in range(length))
