"""Who reads a stream, and what was handed to them.

Every reader reads a gapless log in order, so what was delivered is one number per stream:
the highest offset that any of them was handed. Only the times are kept per offset.
"""

from __future__ import annotations

from array import array


class Audience:
    """The readers of one stream.

    `absent_since` is the time since when nobody reads (None while somebody does), and
    `grace_s` how long that may last before the stream counts as abandoned.
    """

    __slots__ = (
        "_hangup_grace_s",
        "_resume_grace_s",
        "_times",
        "abandoned",
        "absent_since",
        "grace_s",
        "read_to_end",
        "readers",
    )

    def __init__(self, *, opened_at: float, resume_grace_s: float, hangup_grace_s: float) -> None:
        self._resume_grace_s = resume_grace_s
        self._hangup_grace_s = hangup_grace_s
        self._times = array("d")
        self.readers = 0
        self.abandoned = False
        """Whether the grace has passed; a reader that comes after all ends that."""
        self.read_to_end = False
        """Whether the `end` entry was handed over."""
        self.absent_since: float | None = opened_at
        self.grace_s = resume_grace_s

    @property
    def delivered(self) -> int:
        """The highest offset that was handed to a device's socket; 0 before the first."""
        return len(self._times)

    @property
    def deadline(self) -> float | None:
        """When the stream counts as abandoned; None while somebody reads it."""
        if self.absent_since is None or self.abandoned:
            return None
        return self.absent_since + self.grace_s

    def delivered_at(self, offset: int) -> float | None:
        """When the entry at `offset` was first handed over, in seconds of the relay's clock."""
        return self._times[offset - 1] if 0 < offset <= len(self._times) else None

    def join(self, *, can_resume: bool) -> None:
        """A reader opened the stream."""
        self.readers += 1
        self.absent_since = None
        self.abandoned = False
        self.grace_s = self._resume_grace_s if can_resume else self._hangup_grace_s

    def leave(self, now: float) -> None:
        """A reader is gone."""
        self.readers -= 1
        if self.readers == 0:
            self.absent_since = now

    def hand_over(self, offset: int, now: float, *, ended: bool = False) -> bool:
        """Everything up to `offset` is with a device; returns whether that is news.

        `ended`: the end is among it.
        """
        self.read_to_end = self.read_to_end or ended
        news = offset - len(self._times)
        if news <= 0:
            return False
        self._times.extend([now] * news)
        return True
