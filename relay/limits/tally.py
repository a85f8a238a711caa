"""How many each subject has of something at the moment."""

from __future__ import annotations

from collections.abc import Hashable


class Tally:
    """Counts up to `limit` for each subject. It keeps those alone that have something."""

    __slots__ = ("_counts", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """How many subjects have something."""
        return len(self._counts)

    def enter(self, subject: Hashable) -> bool:
        """Count one more; False where that would be too many. Whoever entered leaves once."""
        count = self._counts.get(subject, 0)
        if 0 < self._limit <= count:
            return False
        self._counts[subject] = count + 1
        return True

    def leave(self, subject: Hashable) -> None:
        """Count one less."""
        left = self._counts[subject] - 1
        if left:
            self._counts[subject] = left
        else:
            del self._counts[subject]
