"""Who waits for which log to grow on this node, and how they learn of it.

What this node appends itself wakes them at once; what another one appends comes by the reader.
Both say up to which offset the log goes, so whoever was woken by the first is not woken again by
the second.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from relay.broker.redis.keys import Keys, bucket_of_stream
from relay.broker.redis.reader import Record
from relay.broker.redis.readers import Readers
from relay.broker.redis.records import read_entry
from relay.errors import UnknownStream
from relay.protocol.events import Entry

TAIL_MAX = 32
"""How many of the newest entries of a log that is watched are kept, to be read without asking."""

Wake = Callable[[], None]


@dataclass(slots=True)
class _Known:
    """A log that exists, as far as this node knows."""

    stored: int
    """It goes at least up to this offset."""
    touched_at: float
    announced: int = 0
    """Everybody who watches was woken for this offset, or came later."""
    watchers: dict[int, Wake] = field(default_factory=dict)
    unfollow: Callable[[], None] | None = None
    tail: deque[Entry] = field(default_factory=partial(deque, maxlen=TAIL_MAX))
    """The newest entries without a hole, while somebody watches."""

    def keep(self, entries: Sequence[Entry]) -> None:
        """Put stored entries behind the tail; where there is a hole between, begin a new one."""
        for entry in entries:
            if self.tail and entry.offset <= self.tail[-1].offset:
                continue
            if self.tail and entry.offset != self.tail[-1].offset + 1:
                self.tail.clear()
            self.tail.append(entry)


class Watchers:
    """The logs that this node has met, and who watches them.

    `now()` is in seconds. A log that was not met for `ttl_s` has expired, and is forgotten.
    """

    def __init__(
        self, readers: Readers, keys: Keys, *, now: Callable[[], float], ttl_s: float
    ) -> None:
        self._readers = readers
        self._keys = keys
        self._now = now
        self._ttl_s = ttl_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._number = 0

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, stream_id: str, stored: int) -> None:
        """A log exists, and goes at least up to the offset `stored`."""
        known = self._known.get(stream_id)
        now = self._now()
        if known is None:
            self._known[stream_id] = _Known(stored, now)
            self._forget_expired(now)
        else:
            known.stored = max(known.stored, stored)
            known.touched_at = now
            self._known.move_to_end(stream_id)

    def watch(self, stream_id: str, wake: Wake) -> Callable[[], None]:
        """Call `wake` after every announcement. Raises `UnknownStream` where it was not met."""
        known = self._known.get(stream_id)
        if known is None:
            raise UnknownStream(stream_id)
        self._number += 1
        mine = self._number
        known.watchers[mine] = wake
        if known.unfollow is None:
            known.announced = known.stored
            known.unfollow = self._readers.follow(
                bucket_of_stream(stream_id),
                self._keys.log(stream_id),
                f"{known.stored}-0".encode(),
                partial(self._read, stream_id, known),
            )

        def stop() -> None:
            known.watchers.pop(mine, None)
            if not known.watchers and known.unfollow is not None:
                known.unfollow()
                known.unfollow = None
                known.tail.clear()

        return stop

    def peek(self, stream_id: str, after: int, limit: int) -> list[Entry]:
        """Return entries behind an offset, at most `limit`; none where they must be asked for."""
        known = self._known.get(stream_id)
        if known is None or not known.tail:
            return []
        skipped = after + 1 - known.tail[0].offset
        return [] if skipped < 0 else list(islice(known.tail, skipped, skipped + limit))

    def announce(self, stream_id: str, entries: Sequence[Entry]) -> None:
        """The log has grown by these entries."""
        stored = entries[-1].offset
        self.learn(stream_id, stored)
        known = self._known[stream_id]
        if known.watchers:
            known.keep(entries)
        if stored > known.announced:
            known.announced = stored
            _wake_all(known)

    def forget(self, stream_id: str) -> None:
        """The log is gone. Whoever watches it is woken, to find that out."""
        known = self._known.pop(stream_id, None)
        if known is not None:
            if known.unfollow is not None:
                known.unfollow()
                known.unfollow = None
            _wake_all(known)
            known.watchers.clear()

    def _read(self, stream_id: str, known: _Known, records: Sequence[Record]) -> None:
        if self._known.get(stream_id) is not known:
            return
        if not records:
            # The connection was lost. The log may have gone with it, and no record will say so.
            known.tail.clear()
            _wake_all(known)
            return
        offset, _, number = records[-1].id.partition(b"-")
        if number != b"0":
            self.forget(stream_id)  # a tombstone
        elif int(offset) > known.announced:
            self.announce(stream_id, [read_entry(record.fields) for record in records])

    def _forget_expired(self, now: float) -> None:
        while self._known:
            stream_id, oldest = next(iter(self._known.items()))
            if oldest.touched_at + self._ttl_s > now:
                return
            if oldest.watchers:
                oldest.touched_at = now
                self._known.move_to_end(stream_id)
            else:
                del self._known[stream_id]


def _wake_all(known: _Known) -> None:
    for wake in tuple(known.watchers.values()):
        wake()
