"""What a bot answers, by the question: both sides make the same text and neither is told it.

Imports nothing, so that the ledger can use it.
"""

from __future__ import annotations

from dataclasses import dataclass

_TEXTS = ("你好，", "weather ", "\n\n", " ", "🦞", '"quoted" ', "\\", "今天晴。", "{}", "data: x\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the question asks for it."""

    seed: int
    chunks: int = 100
    pause_ms: float = 10.0
    size: int = 0
    """Each piece is filled up to so many bytes."""
    nul: bool = False
    """Whether every piece holds a NUL, which PostgreSQL takes in no text."""

    @property
    def question(self) -> str:
        """What the device asks."""
        return f"{self.seed} {self.chunks} {self.pause_ms:g} {self.size} {self.nul:d}"

    def piece(self, sequence: int) -> str:
        """The text of a chunk: no two of any answers are equal."""
        text = f"[{self.seed}.{sequence}]{_TEXTS[(self.seed + sequence) % len(_TEXTS)]}"
        text += "\0" * self.nul
        return text.ljust(self.size, ".") if self.size else text


def read_question(text: str) -> Answer:
    """Return what a question asks for."""
    seed, chunks, pause_ms, size, nul = text.split()
    return Answer(int(seed), int(chunks), float(pause_ms), int(size), nul == "1")
