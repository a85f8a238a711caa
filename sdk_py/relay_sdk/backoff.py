"""When to connect again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

TOLD_MAX_S: Final = 60.0
"""A relay never says more; what says more is a proxy that knows nothing of answers."""


class Backoff:
    """Delays between attempts: up to 250 ms, then 0.5 s, 1 s, 2 s ... up to 15 s.

    The first one is only jitter, because the relay holds an answer's end for 2 s and a bot that
    comes back within them loses nothing. The others are shortened by up to a quarter, so that
    a thousand bots do not come back to a restarted relay at once. `random` returns [0, 1).

    Reset it only once a subscription stands: a relay that accepts and then closes would else be
    hammered.
    """

    def __init__(
        self, random: Callable[[], float], *, first_s: float = 0.25, max_s: float = 15.0
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._max_s = max_s
        self._failures = 0

    def reset(self) -> None:
        """The subscription stands: the next break starts from the beginning."""
        self._failures = 0

    def next_delay(self, max_s: float | None = None, *, told_s: float = 0.0) -> float:
        """Return how long to wait before the next attempt, in seconds; at most `max_s`.

        Where the relay said how long (`told_s`), not less than that, and up to a quarter more.
        """
        if told_s:
            self._failures += 1
            return min(told_s, TOLD_MAX_S) * (1 + self._random() / 4)
        failures = self._failures
        self._failures += 1
        if failures == 0:
            return self._first_s * self._random()
        # Beyond 2**16 the step has long reached its cap.
        cap = self._max_s if max_s is None else min(self._max_s, max_s)
        step = min(self._first_s * 2.0 ** min(failures, 16), cap)
        return step * (1 - self._random() / 4)
