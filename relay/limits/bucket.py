"""A token bucket whose whole state is one number: the moment at which it is full again.

That is GCRA as the telephone networks have it (ITU-T I.371), told from the bucket's side. At a
rate of r a second a token comes back in 1/r s, so a bucket that n tokens were taken from is full
n/r s later, and one that is full now has lost nothing by being forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Final

BURST_S: Final = 5.0
"""A bucket holds what its rate gives in so many seconds. Honest callers come in bursts: all of a
relay's bots after a restart, all chunks of an answer that was ready."""

SUBJECTS_MAX: Final = 20_000
"""How many subjects have a bucket, about 5 MB. Beyond that full ones are forgotten, then old ones:
who has more addresses than this is left to the limits of the whole relay."""

LOOKED_AT_MAX: Final = 8
"""Among so many of the oldest a full one is looked for."""


class Bucket:
    """At most `per_s` a second, and `BURST_S` seconds' worth at once, but never less than one.

    `now` is seconds of any clock that does not go back.
    """

    __slots__ = ("_burst_s", "_each_s", "_full_at")

    def __init__(self, per_s: float, *, burst_s: float = BURST_S) -> None:
        self._each_s = 1.0 / per_s
        self._burst_s = max(burst_s, self._each_s)
        self._full_at = 0.0

    def take(self, cost: float, now: float) -> float:
        """Take tokens if there are so many. Returns 0, else how long until there are, in seconds.

        More than a bucket holds is never there.
        """
        full_at = max(self._full_at, now) + cost * self._each_s
        wait_s = full_at - now - self._burst_s
        if wait_s > 0.0:
            return wait_s
        self._full_at = full_at
        return 0.0

    def charge(self, cost: float, now: float) -> float:
        """Take tokens whether there are so many or not. Returns how long until it owes none."""
        full_at = self._full_at
        if full_at < now:  # noqa: PLR1730 - for each frame, and twice as fast as max()
            full_at = now
        self._full_at = full_at = full_at + cost * self._each_s
        wait_s = full_at - now - self._burst_s
        return wait_s if wait_s > 0.0 else 0.0  # noqa: FURB136 - as above

    @property
    def size(self) -> float:
        """How many tokens it holds."""
        return self._burst_s / self._each_s

    def is_full(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self._full_at <= now


class Buckets:
    """A bucket for each subject, in bounded memory."""

    __slots__ = ("_by_subject", "_per_s", "_subjects_max")

    def __init__(self, per_s: float, *, subjects_max: int = SUBJECTS_MAX) -> None:
        self._per_s = per_s
        self._subjects_max = subjects_max
        # Oldest first. A dict would step over those that are gone, each time.
        self._by_subject: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._by_subject)

    def of(self, subject: Hashable, now: float) -> Bucket:
        """Return the subject's bucket; a full one where there is none."""
        found = self._by_subject.get(subject)
        if found is None:
            if len(self._by_subject) >= self._subjects_max:
                self._make_room(now)
            found = self._by_subject[subject] = Bucket(self._per_s)
        return found

    def _make_room(self, now: float) -> None:
        oldest = list(islice(self._by_subject, LOOKED_AT_MAX))
        full = (subject for subject in oldest if self._by_subject[subject].is_full(now))
        del self._by_subject[next(full, oldest[0])]
