"""Who reads a stream, and what was handed to them.

Every reader reads a gapless log in order, so what was delivered is one number per stream:
the highest offset that any of them was handed. Only the times are kept per offset.
"""

from __future__ import annotations

from array import array

from relay.broker.base import ReadReport


class Audience:
    """The readers of one stream: those on this node, and what other nodes report of theirs.

    `absent_since` is the time since when nobody reads; None while somebody does.
    """

    __slots__ = (
        "_elsewhere",
        "_hangup_grace_s",
        "_resume_grace_s",
        "_times",
        "abandoned",
        "absent_since",
        "can_resume",
        "read_to_end",
        "readers",
    )

    def __init__(self, *, opened_at: float, resume_grace_s: float, hangup_grace_s: float) -> None:
        self._resume_grace_s = resume_grace_s
        self._hangup_grace_s = hangup_grace_s
        self._times = array("d")
        self._elsewhere: dict[str, int] = {}
        self.readers = 0
        """How many read on this node."""
        self.can_resume = True
        """Whether the newest reader can come back; one that has not come yet may."""
        self.abandoned = False
        """Whether the grace has passed; a reader that comes after all ends that."""
        self.read_to_end = False
        """Whether the `end` entry was handed over."""
        self.absent_since: float | None = opened_at

    @property
    def delivered(self) -> int:
        """The highest offset that was handed to a device's socket; 0 before the first."""
        return len(self._times)

    @property
    def elsewhere(self) -> int:
        """How many read on other nodes, as far as these said."""
        return sum(self._elsewhere.values())

    @property
    def grace_s(self) -> float:
        """How long nobody may read."""
        return self._resume_grace_s if self.can_resume else self._hangup_grace_s

    @property
    def deadline(self) -> float | None:
        """When the stream counts as abandoned; None while somebody reads it."""
        if self.absent_since is None or self.abandoned:
            return None
        return self.absent_since + self.grace_s

    def delivered_at(self, offset: int) -> float | None:
        """When the entry at `offset` was first handed over, in seconds of the relay's clock."""
        return self._times[offset - 1] if 0 < offset <= len(self._times) else None

    def delivery_times(self) -> tuple[float, ...]:
        """Return when each entry was first handed over, in the log's order."""
        return tuple(self._times)

    def join(self, *, can_resume: bool) -> None:
        """A reader opened the stream."""
        self.readers += 1
        self.can_resume = can_resume
        self._somebody()

    def leave(self, now: float) -> None:
        """A reader is gone."""
        self.readers -= 1
        self._nobody(now)

    def hand_over(self, offset: int, now: float, *, ended: bool = False) -> bool:
        """Everything up to `offset` is with a device; returns whether that is news.

        `ended`: the end is among it.
        """
        self.read_to_end = self.read_to_end or ended
        news = offset - len(self._times)
        if news <= 0:
            return False
        if news == 1:
            self._times.append(now)
        else:
            self._times.extend([now] * news)
        return True

    def hear(self, report: ReadReport, now: float) -> None:
        """Take in what another node says of its readers."""
        self._times.extend(report.delivered_at[len(self._times) :])
        self.read_to_end = self.read_to_end or report.read_to_end
        before = self._elsewhere.get(report.node_id, 0)
        self._elsewhere[report.node_id] = report.readers
        self.can_resume = report.can_resume
        if report.readers:
            self._somebody()
        elif before:
            self._nobody(now)

    def _somebody(self) -> None:
        self.absent_since = None
        self.abandoned = False

    def _nobody(self, now: float) -> None:
        if not self.readers and not self.elsewhere:
            self.absent_since = now
