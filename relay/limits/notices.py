"""Tells operators that somebody reached a limit: every time as a number, once as a line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from relay.limits.refusal import Kind, Limit
from relay.logs import get_logger

_logger = get_logger(__name__)

EPISODE_S: Final = 60.0
"""Who reaches a limit again within this time is still at it."""

EPISODES_MAX: Final = 1_000
"""How many are kept in mind; who is forgotten is told of once more."""

Count = Callable[[Limit, Kind], None]
"""Where the number goes: `Metrics.limited`."""


def count_nothing(_limit: Limit, _kind: Kind) -> None:
    """Count for nobody."""


class Notices:
    """What was reached, and by whom."""

    __slots__ = ("_count", "_latest")

    def __init__(self, count: Count = count_nothing) -> None:
        self._count = count
        self._latest: OrderedDict[tuple[Limit, str], float] = OrderedDict()

    def refused(self, limit: Limit, kind: Kind, names: Mapping[str, str | int], now: float) -> None:
        """Count a refusal, and log the first of an episode. `names` are who it was, for the log."""
        self._count(limit, kind)
        if self._begins(limit, names, now):
            _logger.warning("limit_reached", limit=limit.value, kind=kind.value, **names)

    def slowed(self, limit: Limit, kind: Kind, names: Mapping[str, str | int], now: float) -> None:
        """Count and log that somebody is slowed down, once for each episode."""
        if self._begins(limit, names, now):
            self._count(limit, kind)
            _logger.warning("caller_slowed", limit=limit.value, kind=kind.value, **names)

    def _begins(self, limit: Limit, names: Mapping[str, str | int], now: float) -> bool:
        subject = limit, str(names)
        before = self._latest.pop(subject, None)
        self._latest[subject] = now
        if len(self._latest) > EPISODES_MAX:
            self._latest.popitem(last=False)
        return before is None or now - before > EPISODE_S
