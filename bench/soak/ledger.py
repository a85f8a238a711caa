"""What the clients of the soak have seen."""

from __future__ import annotations

from collections import Counter
from typing import Final

WRONG_MAX: Final = 50
"""How many wrong answers are told in words; all are counted."""


class Ledger:
    """Counts by name, errors by what they are, and answers that were wrong."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []

    def count(self, what: str) -> None:
        """Count one."""
        self.counts[what] += 1

    def met(self, who: str, error: BaseException) -> None:
        """Count an error of the network, which belongs to churn."""
        self.errors[f"{who}: {type(error).__name__}"] += 1

    def is_wrong(self, what: str) -> None:
        """Note something that must never be."""
        self.counts["wrong"] += 1
        if len(self.wrong) < WRONG_MAX:
            self.wrong.append(what)
