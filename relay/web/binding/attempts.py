"""How often somebody may try, so that nobody finds a token by trying."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

SUBJECTS_MAX: Final = 10_000
"""How many are kept in mind. The oldest are let go: who asks also stands under a second limit."""


class Attempts:
    """At most `limit` attempts of one subject in `window_s` seconds, counted from the first."""

    __slots__ = ("_begun", "_limit", "_now", "_subjects_max", "_window_s")

    def __init__(
        self,
        limit: int,
        *,
        window_s: float,
        now: Callable[[], float],
        subjects_max: int = SUBJECTS_MAX,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._now = now
        self._subjects_max = subjects_max
        # Oldest window first: a new one is put at the end.
        self._begun: dict[Hashable, tuple[float, int]] = {}

    def take(self, subject: Hashable) -> bool:
        """Count an attempt; False where it may not be made."""
        now = self._now()
        begun_at, made = self._begun.get(subject, (now, 0))
        if now >= begun_at + self._window_s:
            begun_at, made = now, 0
        if made >= self._limit:
            return False
        if made == 0:
            self._begun.pop(subject, None)
            self._make_room(now)
        self._begun[subject] = (begun_at, made + 1)
        return True

    def give_back(self, subject: Hashable) -> None:
        """Take back an attempt that was no guess: it succeeded."""
        if subject in self._begun:
            begun_at, made = self._begun[subject]
            self._begun[subject] = (begun_at, max(0, made - 1))

    def _make_room(self, now: float) -> None:
        while self._begun:
            oldest = next(iter(self._begun))
            begun_at, _ = self._begun[oldest]
            is_over = now >= begun_at + self._window_s
            if not is_over and len(self._begun) < self._subjects_max:
                return
            del self._begun[oldest]
