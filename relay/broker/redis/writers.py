"""What a node keeps of the logs that it writes, so that most appends need say little.

Who reads a log is compared with what the log's hash says; where that has changed, an append is
refused, and the same append is made again with the bells of all who read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.broker.base import Notes
from relay.broker.redis.keys import Keys, decode, encode
from relay.broker.redis.pipe import Argument
from relay.broker.redis.reader import BELL_LENGTH
from relay.broker.redis.readers import Readers
from relay.broker.redis.records import append_arguments
from relay.protocol.events import Entry, HeldChunk

RENEW_S = 60.0
"""How often the keys of a log that is written are told anew when they expire."""

SHARED_ENTRIES_MAX = 16
SHARED_CHARS_MAX = 4096
"""What a bell gets of one append. What is more, its readers take from the log."""


@dataclass(slots=True)
class _Written:
    renewed_at: float
    readers: bytes = b""
    """As the log's hash says it: the nodes, with spaces between."""
    may_hold: bool = True
    """Whether held chunks may lie beside the log."""


class Writers:
    """The logs that this node writes. `now()` is in seconds; `ttl_s` is how long a log is kept."""

    def __init__(
        self, readers: Readers, keys: Keys, *, now: Callable[[], float], ttl_s: float
    ) -> None:
        self._readers = readers
        self._keys = keys
        self._now = now
        self._ttl_s = ttl_s
        self._written: OrderedDict[str, _Written] = OrderedDict()

    def __len__(self) -> int:
        return len(self._written)

    def begin(self, stream_id: str, readers: bytes, *, may_hold: bool) -> None:
        """This node writes the log from now on, and these nodes read it."""
        self._written.pop(stream_id, None)
        self._written[stream_id] = _Written(self._long_ago(), readers, may_hold)
        self._forget_old()

    def told(self, stream_id: str, readers: bytes) -> None:
        """An append was refused, because these nodes read the log."""
        written = self._of(stream_id)
        written.readers = readers
        written.renewed_at = self._long_ago()

    def forget(self, stream_id: str) -> None:
        """This node writes the log no more."""
        self._written.pop(stream_id, None)

    def keys(self, stream_id: str) -> list[bytes]:
        """Return the keys of a log."""
        names = (self._keys.meta, self._keys.log, self._keys.held, self._keys.notes)
        return [key(stream_id) for key in names]

    def made(self, stream_id: str) -> list[bytes]:
        """Return the keys of `create.lua`."""
        reports, bell = self._keys.reports(stream_id), self._readers.bell(stream_id)
        return [*self.keys(stream_id), reports, bell]

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes,
    ) -> tuple[list[bytes], list[Argument]]:
        """Return the keys and the arguments of `append.lua`."""
        written = self._of(stream_id)
        # The first entry makes the log; a held chunk or a note may make a hash.
        is_due = offset == 1 or bool(held or notes)
        is_due = is_due or self._now() - written.renewed_at >= RENEW_S
        if is_due:
            written.renewed_at = self._now()
            self._written.move_to_end(stream_id)
        written.may_hold = written.may_hold or bool(held)
        bells = self._bells(stream_id, written)
        chunks = append_arguments(entries, held, notes, may_hold=written.may_hold)
        is_shared = bool(bells) and _is_little(entries)
        head: list[Argument] = [
            *(fence, offset, written.readers, round(self._ttl_s * 1000) if is_due else 0),
            *(encode(stream_id) if bells else b"", int(is_shared), BELL_LENGTH),
        ]
        return [*self.keys(stream_id), *bells], [*head, *chunks]

    def drop(self, stream_id: str) -> tuple[list[bytes], list[Argument]]:
        """Return the keys and the arguments of `drop.lua`."""
        written = self._of(stream_id)
        keys = [*self.keys(stream_id), self._keys.reports(stream_id)]
        return [*keys, *self._bells(stream_id, written)], [
            written.readers,
            encode(stream_id),
            BELL_LENGTH,
        ]

    def _bells(self, stream_id: str, written: _Written) -> list[bytes]:
        return self._readers.bells(stream_id, decode(written.readers).split())

    def _of(self, stream_id: str) -> _Written:
        if stream_id not in self._written:
            self.begin(stream_id, b"", may_hold=True)
        return self._written[stream_id]

    def _long_ago(self) -> float:
        return self._now() - RENEW_S

    def _forget_old(self) -> None:
        """Forget those that were not written for so long that they have expired."""
        until = self._now() - self._ttl_s - RENEW_S
        while (oldest := next(iter(self._written))) and self._written[oldest].renewed_at < until:
            del self._written[oldest]


def _is_little(entries: Sequence[Entry]) -> bool:
    if len(entries) > SHARED_ENTRIES_MAX:
        return False
    size = sum(len(entry.content) + len(entry.part.body if entry.part else "") for entry in entries)
    return size <= SHARED_CHARS_MAX
