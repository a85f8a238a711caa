"""A subscription: a cursor in a log, and the wish to be woken.

There is no queue per subscriber. A slow one costs no memory: when it comes back it reads
everything since its cursor in one go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from msgspec import Struct

from relay.broker.base import StreamLog, settle
from relay.devices.base import DeviceProtocol, StreamView
from relay.errors import BrokerUnavailable
from relay.node.audience import Audience
from relay.protocol.events import Entry, EntryKind

_END: Final = EntryKind.END

AWAY_RETRY_S = 0.1
"""How long after a read that found no broker it is tried again."""

AWAY_MAX_S = 3_600.0
"""How long a broker may be away. Shells have limits of their own, and these are what counts."""

READ_ENTRIES_MAX: Final = 1024
"""How many entries one read takes."""

WRITE_BYTES_MAX = 65_536
"""How much is handed to a socket at a time, unless one entry is larger. A device is let go where it
does not take a write in time: in four megabytes, the rest of a long answer, one that reads all the
while would seem to take none. It is also what a device that does not read costs."""


class Encodings:
    """The entries of one stream as one device protocol writes them.

    However many read, each is encoded once for those who are up to date, and once for those who
    come later. Of what comes entry by entry to an only reader, as mostly, nothing is kept: whoever
    comes later has it encoded anew.
    """

    __slots__ = ("_audience", "_encoded", "_encoder", "_first", "_joined", "_last")

    def __init__(self, device: DeviceProtocol, view: StreamView, audience: Audience) -> None:
        self._encoder = device.encoder(view)
        self._audience = audience
        self._encoded: dict[int, bytes] = {}
        self._first = self._last = 0
        self._joined: tuple[bytes, Sequence[Entry]] = b"", ()

    def join(self, entries: Sequence[Entry]) -> tuple[bytes, Sequence[Entry]]:
        """Return the frames of as many of these entries as one write takes, and these entries."""
        alone = len(entries) == 1
        if alone and self._audience.readers == 1:
            return self._encoder.encode(entries[0]), entries
        first, last = entries[0].offset, entries[-1].offset
        if last != self._last or first != self._first:
            # Readers who are up to date all ask for the same entries, one after the other.
            joined = (self._encoder.encode(entries[0]), entries) if alone else self._join(entries)
            self._joined, self._first, self._last = joined, first, last
        return self._joined

    def _join(self, entries: Sequence[Entry]) -> tuple[bytes, Sequence[Entry]]:
        frames: list[bytes] = []
        size = 0
        for entry in entries:
            frame = self._encode(entry)
            size += len(frame)
            if size > WRITE_BYTES_MAX and frames:
                break
            frames.append(frame)
        return b"".join(frames), entries[: len(frames)]

    def _encode(self, entry: Entry) -> bytes:
        frame = self._encoded.get(entry.offset)
        if frame is None:
            frame = self._encoded[entry.offset] = self._encoder.encode(entry)
        return frame


class Batch(Struct, frozen=True, gc=False):
    """The entries since a subscription's cursor: all of them, or what one write takes."""

    data: bytes
    """Their SSE frames, joined. Empty where none of them is shown."""
    entries: Sequence[Entry]
    """The same, for shells that speak something else than SSE."""
    offset: int
    """The last offset in it."""
    ended: bool
    """Whether the `end` entry is in it: close after writing."""


class Reader(Protocol):
    """Whoever polls a subscription."""

    __slots__ = ()

    def news(self) -> None:
        """There is something to poll.

        Called within an append or a `poll`: it may only take note of it.
        """
        ...


class Feed(Protocol):
    """What is polled: of a `Subscription`, what it takes to write one."""

    __slots__ = ()

    view: StreamView
    finished: bool
    """Whether the cursor stands behind the `end` entry."""

    def tell(self, reader: Reader) -> None:
        """See `Subscription.tell`."""
        ...

    def poll(self) -> Awaitable[bytes | None] | bytes | None:
        """See `Subscription.poll`."""
        ...

    def delivered(self) -> None:
        """See `Subscription.delivered`."""
        ...

    def close(self) -> None:
        """See `Subscription.close`."""
        ...


class SubscriptionHost(Protocol):
    """Whoever keeps account of a stream's readers."""

    __slots__ = ()

    def handed_over(self, offset: int, *, ended: bool) -> None:
        """All up to this offset was handed to a device's socket; the end, too, where it `ended`."""
        ...

    def left(self) -> None:
        """The reader is gone."""
        ...


class Subscription(Feed):
    """One reader of one stream. Close it when the reader is gone: `async with` does."""

    __slots__ = (
        *("_away_since", "_closed", "_cursor", "_encodings", "_epoch", "_host", "_log"),
        *("_news", "_reader", "_rest", "_stream_id", "_unwatch", "finished", "reset", "view"),
    )

    def __init__(
        self,
        log: StreamLog,
        view: StreamView,
        encodings: Encodings,
        *,
        after: int,
        finished: bool,
        reset: bool = False,
        host: SubscriptionHost,
    ) -> None:
        self.view = view
        self._stream_id, self._epoch = view.stream_id, view.epoch
        self.finished = finished
        """Whether the cursor stands behind the `end` entry."""
        self.reset = reset
        """Whether the reader asked for a position in a log that is lost, and starts over."""
        self._log = log
        self._encodings = encodings
        self._cursor = after
        self._rest: Sequence[Entry] = ()
        """What was read behind the cursor, and did not fit into a write."""
        self._host = host
        self._away_since: float | None = None
        self._news: asyncio.Event | None = None
        """For who waits in `next`. It takes a tenth of a reader's memory, so it is made then."""
        self._reader: Reader | None = None
        self._unwatch = log.watch(view.stream_id, self._wake)
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def next(self) -> Batch:
        """Return what is behind the cursor, waiting until there is something.

        Raises `UnknownStream` where the log is gone, though the stream may have another one by
        now: its entries are no continuation. Raises `BrokerUnavailable` only where the broker was
        away for longer than a device may read. Cancelling it loses nothing.
        """
        news = self._news = self._news or asyncio.Event()
        while True:
            # Cleared before the read: what is appended after the read sets it again.
            news.clear()
            entries = await self._settled(self._read())
            if entries:
                data, fitting = self._advance(entries)
                return Batch(data, fitting, self._cursor, self.finished)
            await news.wait()

    def tell(self, reader: Reader) -> None:
        """From now on tell this reader when there is something to poll."""
        self._reader = reader

    def poll(self) -> Awaitable[bytes | None] | bytes | None:
        """Return the SSE frames of what is behind the cursor, None where there is nothing.

        They are empty where nothing of it is shown. One at a time. Where there is more, the reader
        is told.

        Raises as `next` does, at once or when it is awaited.
        """
        read = self._read()
        if isinstance(read, list):  # asked first: to ask for an `Awaitable` takes a microsecond
            return self._advance(read)[0] if read else None
        return self._fetch(read)

    async def _fetch(self, read: Awaitable[Sequence[Entry]] | Sequence[Entry]) -> bytes | None:
        entries = await self._settled(read)
        return self._advance(entries)[0] if entries else None

    def _read(self) -> Awaitable[Sequence[Entry]] | Sequence[Entry]:
        if self._rest:
            return self._rest
        return self._log.read(self._stream_id, self._cursor, READ_ENTRIES_MAX, self._epoch)

    async def _settled(self, read: Awaitable[Sequence[Entry]] | Sequence[Entry]) -> Sequence[Entry]:
        """Return what is read, waiting for a broker that is away."""
        while True:
            try:
                entries = await settle(read)
            except BrokerUnavailable:
                await self._wait_for_broker()
                read = self._read()
                continue
            self._away_since = None
            return entries

    def _wake(self) -> None:
        if self._reader is not None:
            self._reader.news()
        elif self._news is not None:
            self._news.set()

    async def _wait_for_broker(self) -> None:
        """Let a device wait, with the shell's keep-alives, for a broker that does not answer.

        Cut off, it could only come back to a relay that has the same broker.
        """
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = now
        if now >= self._away_since + AWAY_MAX_S:
            raise BrokerUnavailable("the broker was away for too long")
        await asyncio.sleep(AWAY_RETRY_S)

    def delivered(self) -> None:
        """What was read last was handed to the device's socket."""
        self._host.handed_over(self._cursor, ended=self.finished)

    def _advance(self, entries: Sequence[Entry]) -> tuple[bytes, Sequence[Entry]]:
        data, fitting = self._encodings.join(entries)
        last = fitting[-1]
        self._cursor = last.offset
        self.finished = last.kind is _END
        # The log may have grown behind a rest, and who was told of that got the rest for it; it may
        # go on behind a full read.
        was_behind = bool(self._rest)
        self._rest = () if last is entries[-1] else list(entries[len(fitting) :])
        is_full = len(fitting) >= READ_ENTRIES_MAX
        if (was_behind or self._rest or is_full) and not self.finished:
            self._wake()
        return data, fitting

    def close(self) -> None:
        """The reader is gone. Idempotent."""
        if not self._closed:
            self._closed = True
            self._unwatch()
            self._host.left()
            # They know this subscription.
            self._unwatch = _nothing
            self._reader = None


def _nothing() -> None: ...
