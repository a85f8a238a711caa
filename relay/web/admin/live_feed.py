"""Open streams as Server-Sent Events: what there is, and then each second what has changed.

Nobody queues anything for a watcher. Each remembers what it was told and is told the difference
to what is so now, so a slow one costs nothing and skips what it missed in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Literal

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from relay.admin.live import LiveStream
from relay.admin.ports import LiveView
from relay.errors import RelayError
from relay.web.admin.problems import Busy
from relay.web.admin.schema import LIVE_MAX
from relay.web.admin.schema_answers import LiveList, tell
from relay.web.admin.schema_answers import LiveStream as LiveStreamAnswer
from relay.web.sse import SEND_TIMEOUT_S, SSE_HEADERS, STREAM_MAX_AGE_S
from relay.wire.jsontext import JsonValue, dumps_ascii

EventName = Literal["snapshot", "opened", "changed", "closed"]

INTERVAL_S: Final = 1.0
"""How often a watcher is told."""

RECHECK_S: Final = 5.0
"""How often it is asked whether the watcher may still watch."""

KEEPALIVE_S: Final = 7.0

WATCHERS_MAX: Final = 32
"""Browser tabs and terminals, at once."""

_RETRY = b"retry: 2000\n"


class LiveFeed:
    """The feed. `end_all` ends it for everybody, when the relay goes away."""

    def __init__(
        self,
        live: LiveView,
        *,
        interval_s: float = INTERVAL_S,
        recheck_s: float = RECHECK_S,
        watchers_max: int = WATCHERS_MAX,
    ) -> None:
        self._live = live
        self._interval_s = interval_s
        self._recheck_s = recheck_s
        self._watchers_max = watchers_max
        self._watching = 0
        self._ending = asyncio.Event()
        self._looked_at = float("-inf")
        self._seen: dict[str, LiveStream] = {}
        self._total = 0

    @property
    def watching(self) -> int:
        """How many watch."""
        return self._watching

    def end_all(self) -> None:
        """End every response, now and from now on: at the beginning of a drain."""
        self._ending.set()

    def watch(self, still_admits: Callable[[], Awaitable[bool]]) -> Watch:
        """Return the response for one more watcher. Raises `Busy`."""
        if self._watching >= self._watchers_max or self._ending.is_set():
            raise Busy("too many are watching, or the relay is ending", retry_after_s=5.0)
        return Watch(self, still_admits)

    def enter(self, change: int) -> None:
        """Count a watcher in or out."""
        self._watching += change

    def look(self) -> Mapping[str, LiveStream]:
        """Return what is so; all watchers of one moment share one look."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= self._interval_s / 2:
            streams = self._live.live_streams()
            self._seen = {stream.stream_id: stream for stream in streams[:LIVE_MAX]}
            self._total = len(streams)
            self._looked_at = now
        return self._seen

    async def body(self, still_admits: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Yield events, each write with all that there is to tell."""
        loop = asyncio.get_running_loop()
        told = self.look()
        yield _RETRY + encode("snapshot", self._snapshot(told))
        checked_at = loop.time()
        while not await self._ended_within(self._interval_s):
            if loop.time() - checked_at >= self._recheck_s:
                try:
                    # Finished, whoever leaves: the response is cancelled again in each turn of the
                    # loop until it is gone, and a query that is cancelled twice leaves a task
                    # behind (aiosqlite 0.22: `close` waits for a thread that `stop` has ended).
                    if not await asyncio.shield(still_admits()):
                        return
                except RelayError:
                    # A database that is away is no reason to blind who watches.
                    pass
                checked_at = loop.time()
            now = self.look()
            if data := b"".join(encode(name, value) for name, value in differences(told, now)):
                yield data
            told = now

    def _snapshot(self, streams: Mapping[str, LiveStream]) -> JsonValue:
        answer = LiveList(
            [tell(stream, LiveStreamAnswer) for stream in streams.values()],
            self._total,
            sorted(self._live.online_bots()),
        )
        value: JsonValue = msgspec.to_builtins(answer)
        return value

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._ending.wait()
        except TimeoutError:
            return False


class Watch:
    """One watcher's response."""

    __slots__ = ("_feed", "_still_admits")

    def __init__(self, feed: LiveFeed, still_admits: Callable[[], Awaitable[bool]]) -> None:
        self._feed = feed
        self._still_admits = still_admits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the watcher leaves, or may not watch any more, or the relay ends."""
        response = EventSourceResponse(
            self._feed.body(self._still_admits),
            headers={**SSE_HEADERS, "Cache-Control": "no-store"},
            ping=KEEPALIVE_S,
            ping_message_factory=_keepalive,
            sep="\n",
            send_timeout=SEND_TIMEOUT_S,
        )
        # Not in the generator: one that never starts has no `finally`.
        self._feed.enter(1)
        try:
            async with asyncio.timeout(STREAM_MAX_AGE_S):
                await response(scope, receive, send)
        except TimeoutError:
            pass
        finally:
            self._feed.enter(-1)


def differences(
    told: Mapping[str, LiveStream], now: Mapping[str, LiveStream]
) -> Iterator[tuple[EventName, JsonValue]]:
    """Yield what makes `now` of `told`: closed ones first. Growing older is no change."""
    for stream_id in told:
        if stream_id not in now:
            yield "closed", {"stream_id": stream_id}
    for stream_id, stream in now.items():
        before = told.get(stream_id)
        if before is None:
            yield "opened", _told(stream)
        elif replace(before, age_s=stream.age_s) != stream:
            yield "changed", _told(stream)


def encode(name: EventName, value: JsonValue) -> bytes:
    """Return one event. It has no id: who comes back is given a snapshot."""
    return f"event: {name}\ndata: {dumps_ascii(value)}\n\n".encode("ascii")


def _told(stream: LiveStream) -> JsonValue:
    value: JsonValue = msgspec.to_builtins(tell(stream, LiveStreamAnswer))
    return value


def _keepalive() -> ServerSentEvent:
    return ServerSentEvent(comment="keep-alive", sep="\n")
