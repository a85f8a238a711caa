"""How many streams an access key has open, and how many readers a stream has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relay.limits.notices import Count, Notices
from relay.limits.refusal import Kind, Limit, Refusal
from relay.node.readership import Readership

LOOKED_THROUGH_FIRST: Final = 64
"""With fewer streams than this nobody looks which of them have ended."""

LOOKED_THROUGH_EVERY_S: Final = 1.0
"""A key that is full is looked through no more often, however often it asks."""


class _Opened:
    """The streams that one key opened here, and some that have ended since."""

    __slots__ = ("at", "ids", "size")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.size = LOOKED_THROUGH_FIRST
        self.at = 0.0


class Quota:
    """Asked before a stream is opened, and before one is read. 0 is no limit.

    `is_open` says whether this node has a stream of this id that has not ended. Streams are not
    taken out as they end: now and then all of a key's are looked through, so that ending costs
    nothing, and what is kept is at most twice what is open.
    """

    __slots__ = ("_is_open", "_notices", "_opened", "_readers_max", "_streams_max")

    def __init__(
        self,
        *,
        streams_max: int,
        readers_max: int,
        is_open: Callable[[str], bool],
        count: Count,
    ) -> None:
        self._streams_max = streams_max
        self._readers_max = readers_max
        self._is_open = is_open
        self._notices = Notices(count)
        self._opened: dict[int, _Opened] = {}

    def check_ask(self, access_key_id: int, now: float) -> None:
        """Raise `RateLimited` where the key has as many open streams as it may."""
        opened = self._opened.get(access_key_id)
        if not self._streams_max or opened is None:
            return
        is_full = len(opened.ids) >= self._streams_max
        if is_full and now >= opened.at + LOOKED_THROUGH_EVERY_S:
            self._look_through(opened, now)
            is_full = len(opened.ids) >= self._streams_max
        if is_full:
            self._refuse(Limit.STREAMS_PER_KEY, Kind.ASK, access_key_id, now)

    def opened(self, access_key_id: int, stream_id: str, now: float) -> None:
        """Count a stream that the key has opened."""
        if not self._streams_max:
            return
        opened = self._opened.get(access_key_id)
        if opened is None:
            opened = self._opened[access_key_id] = _Opened()
        if len(opened.ids) >= opened.size:
            self._look_through(opened, now)
        opened.ids.add(stream_id)

    def check_reader(self, readership: Readership, access_key_id: int | None, now: float) -> None:
        """Raise `RateLimited` where the stream has as many readers as it may."""
        if 0 < self._readers_max <= readership.audience.readers:
            self._refuse(Limit.READERS_PER_STREAM, Kind.READ, access_key_id, now)

    def _look_through(self, opened: _Opened, now: float) -> None:
        opened.ids = set(filter(self._is_open, opened.ids))
        opened.size = max(LOOKED_THROUGH_FIRST, 2 * len(opened.ids))
        opened.at = now

    def _refuse(self, limit: Limit, kind: Kind, access_key_id: int | None, now: float) -> None:
        names = {} if access_key_id is None else {"access_key_id": access_key_id}
        self._notices.refused(limit, kind, names, now)
        raise Refusal(limit).error()
