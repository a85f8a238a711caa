"""Who waits for which log to grow on this node, and how they learn of it.

What this node appends itself wakes them at once; what another one appends rings this node's bell.
As long as a log is *certain*, nothing can be added to it unheard, so a reader that has everything
asks nobody. Where something may have been missed (a connection that broke, a reply that was lost),
the log is in doubt: readers ask Redis, until this node has joined those that are rung for it anew,
which tells how far the log goes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from relay.broker.redis.keys import bucket_of_stream, decode
from relay.broker.redis.reader import Record
from relay.broker.redis.readers import Joined, Readers
from relay.broker.redis.records import read_entry
from relay.broker.redis.tasks import end
from relay.errors import BrokerUnavailable, UnknownStream
from relay.protocol.events import Entry
from relay.wire.entry import MalformedEntry

TAIL_MAX = 32
"""How many of the newest entries of a log that is watched are kept, to be read without asking."""

JOIN_RETRY_S = 0.2

Wake = Callable[[], None]


@dataclass(slots=True)
class _Known:
    """A log that exists, as far as this node knows."""

    touched_at: float
    epoch: bytes = b""
    """Empty where it is not known yet."""
    stored: int = 0
    """Everybody who watches was woken for the entries up to this offset, or came later."""
    certain: bool = False
    """Whether this node hears of every entry behind `stored`."""
    doubts: int = 0
    """How often something may have been missed."""
    watchers: dict[int, Wake] = field(default_factory=dict)
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

    def advance(self, stored: int) -> None:
        """The log goes up to this offset."""
        if stored > self.stored:
            self.stored = stored
            self.wake_all()

    def doubt(self) -> None:
        """Something may have been missed."""
        self.certain = False
        self.doubts += 1

    def wake_all(self) -> None:
        """Let everybody look."""
        for wake in tuple(self.watchers.values()):
            wake()


class Watchers:
    """The logs that this node has met, and who watches them.

    `now()` is in seconds. A log that was not met for `ttl_s` has expired, and is forgotten.
    """

    def __init__(self, readers: Readers, *, now: Callable[[], float], ttl_s: float) -> None:
        self._readers = readers
        self._now = now
        self._ttl_s = ttl_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._number = 0
        self._busy: dict[str, asyncio.Task[None]] = {}
        """What joins or leaves just now: one for each log, or one might undo the other."""
        readers.on_ring(self._rung)

    def __len__(self) -> int:
        return len(self._known)

    # --- what is known ---------------------------------------------------------------------

    def learn(self, stream_id: str, stored: int, epoch: str = "") -> None:
        """A log exists, and goes at least up to the offset `stored`, as somebody has seen."""
        known = self._touch(stream_id, epoch)
        if not known.watchers:
            known.stored = max(known.stored, stored)

    def made(self, stream_id: str, epoch: str) -> None:
        """A log was made here. It is empty, and its hash names this node as one that reads it."""
        self.forget(stream_id)
        self._readers.listen(bucket_of_stream(stream_id))
        self._touch(stream_id, epoch).certain = True

    def found(self, stream_id: str, epoch: str, stored: int) -> None:
        """A log goes up to this offset."""
        self._touch(stream_id, epoch).advance(stored)

    def announce(self, stream_id: str, entries: Sequence[Entry]) -> None:
        """This node has appended these entries."""
        known = self._touch(stream_id, "")
        if known.watchers:
            known.keep(entries)
        known.advance(entries[-1].offset)

    def doubt(self, stream_id: str) -> None:
        """Nobody knows whether an append of this node was done."""
        known = self._known.get(stream_id)
        if known is not None:
            known.doubt()
            self._join(stream_id, known)

    def doubt_all(self) -> None:
        """Redis has lost its data: whoever waits for a log that is gone would wait for ever."""
        for stream_id, known in tuple(self._known.items()):
            self._interrupt(stream_id, known)

    def forget(self, stream_id: str) -> None:
        """The log is gone. Whoever watches it is woken, to find that out."""
        known = self._known.pop(stream_id, None)
        if known is not None:
            known.wake_all()
            known.watchers.clear()

    def _touch(self, stream_id: str, epoch: str) -> _Known:
        now = self._now()
        known = self._known.get(stream_id)
        if known is None:
            known = self._known[stream_id] = _Known(now)
            self._forget_expired(now)
        else:
            known.touched_at = now
            self._known.move_to_end(stream_id)
        if epoch and not known.epoch:
            known.epoch = epoch.encode()
        return known

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

    # --- who watches -----------------------------------------------------------------------

    def watch(self, stream_id: str, wake: Wake) -> Callable[[], None]:
        """Call `wake` when the log has grown. Raises `UnknownStream` where it was not met."""
        known = self._known.get(stream_id)
        if known is None:
            raise UnknownStream(stream_id)
        self._number += 1
        mine = self._number
        known.watchers[mine] = wake
        self._readers.listen(bucket_of_stream(stream_id))
        if not known.certain:
            self._join(stream_id, known)

        def stop() -> None:
            known.watchers.pop(mine, None)
            if not known.watchers:
                known.tail.clear()

        return stop

    def peek(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> list[Entry] | None:
        """Return the entries behind an offset, at most `limit`; None where they must be asked for.

        An empty list: there are none, and `wake` is called when there are.
        """
        known = self._known.get(stream_id)
        if known is None or (epoch is not None and known.epoch != epoch.encode()):
            return None
        tail = known.tail
        # A tail that ends before the log does is no answer: nobody is woken again for the rest.
        is_whole = bool(tail) and tail[-1].offset >= known.stored
        if is_whole and tail[0].offset <= after + 1 <= tail[-1].offset:
            skipped = after + 1 - tail[0].offset
            return list(islice(tail, skipped, skipped + limit))
        return [] if known.certain and after >= known.stored else None

    # --- what other nodes append ------------------------------------------------------------

    def _rung(self, group: int, records: Sequence[Record]) -> None:
        if not records:
            self._interrupted(group)
            return
        grown: dict[str, int] = {}
        for record in records:
            stream = record.fields.get(b"stream")
            if stream is None:
                continue  # it only interrupts the wait
            stream_id = decode(stream)
            known = self._known.get(stream_id)
            if known is None or not known.watchers:
                self._leave(stream_id, known)
            elif record.fields.get(b"epoch") != known.epoch:
                # It is gone, or of another time, or its epoch is not known yet.
                known.doubt()
                self._join(stream_id, known)
            elif (offset := int(record.fields[b"offset"])) > max(
                known.stored, grown.get(stream_id, 0)
            ):
                grown[stream_id] = offset
                known.keep(_entries(record))
        for stream_id, offset in grown.items():
            self._known[stream_id].advance(offset)

    def _interrupted(self, group: int) -> None:
        """The connection was lost, and the logs and their readers' names may have gone with it."""
        for stream_id, known in tuple(self._known.items()):
            if self._readers.group(bucket_of_stream(stream_id)) == group:
                self._interrupt(stream_id, known)

    def _interrupt(self, stream_id: str, known: _Known) -> None:
        known.doubt()
        known.tail.clear()
        if known.watchers:
            known.wake_all()
            self._join(stream_id, known)

    def _join(self, stream_id: str, known: _Known) -> None:
        if known.watchers:
            self._begin(stream_id, self._joining(stream_id))

    def _leave(self, stream_id: str, known: _Known | None) -> None:
        if known is not None:
            known.certain = False
        self._begin(stream_id, self._leaving(stream_id))

    def _begin(self, stream_id: str, work: Coroutine[None, None, None]) -> None:
        if stream_id in self._busy:
            work.close()  # what is under way looks again when it is done
            return
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._busy[stream_id] = task
        task.add_done_callback(partial(self._done, stream_id), context=Context())

    def _done(self, stream_id: str, task: asyncio.Task[None]) -> None:
        del self._busy[stream_id]
        known = self._known.get(stream_id)
        if not task.cancelled() and known is not None and not known.certain:
            self._join(stream_id, known)

    async def _joining(self, stream_id: str) -> None:
        """Join once, as long as somebody watches. What was doubted meanwhile is done again."""
        known = self._known.get(stream_id)
        if known is None:
            return
        doubts = known.doubts
        try:
            joined = await self._readers.join(stream_id)
        except BrokerUnavailable:
            await asyncio.sleep(JOIN_RETRY_S)
            return
        if self._known.get(stream_id) is not known or known.doubts != doubts:
            return
        if joined is None:
            self.forget(stream_id)
        else:
            self._joined(known, joined)

    def _joined(self, known: _Known, joined: Joined) -> None:
        if known.epoch and known.epoch != joined.epoch:
            known.tail.clear()
            known.stored = 0
        known.epoch = joined.epoch
        known.certain = True
        known.advance(joined.stored)

    async def _leaving(self, stream_id: str) -> None:
        try:
            await self._readers.leave(stream_id)
        except BrokerUnavailable:
            return  # the next ring tries again

    async def close(self) -> None:
        """Tell nobody anything more."""
        self._known.clear()
        for task in tuple(self._busy.values()):
            await end(task)


def _entries(record: Record) -> list[Entry]:
    if b"kind" not in record.fields:
        return []  # too much for a bell: it is in the log
    try:
        return [read_entry(record.fields)]
    except MalformedEntry:
        return []  # another version's; who reads the log says so
