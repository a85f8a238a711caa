"""One answer, as a device reads it: asked once, and connected to as often as it takes.

ask --> connect --> read --> ended
           ^         |
           +- delay <+ broken, silent, refused for now
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote

from relay.wire import jsontext
from relay.wire.jsontext import JsonValue
from relay.wire.sse import SseParser
from relay_sdk.backoff import Backoff
from relay_sdk.device_events import (
    LOST,
    DeviceEvent,
    Ended,
    EventReader,
    Gap,
    LingzhuReader,
    PlainReader,
    Repair,
    Text,
)
from relay_sdk.errors import Rejected, Unauthorized, Unreachable
from relay_sdk.fetch import ConnectFailed, Response, Server, fetch

logger = logging.getLogger("relay_sdk")

_OK, _GONE = 200, 410
_UNAUTHORIZED = frozenset({401, 403})
_UNKNOWN = 404
_BUSY = 429
_NOT_NOW = 500
"""From here on it is the relay's trouble, and it may pass."""
_KEY_REFUSED = (
    "the relay does not accept this access key: check that it is whole and that it belongs to "
    "this relay, or make a new one with `relay key add NAME`"
)


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """A device's times, in seconds."""

    open_timeout_s: float = 10.0
    stale_s: float = 21.0
    """Without a byte for so long (three of the relay's keep-alives) the connection is dead."""
    give_up_s: float = 60.0
    """An answer that cannot be read for so long is lost."""
    unknown_s: float = 10.0
    """The same where the relay does not know the stream: a relay that was restarted knows it
    again as soon as the bot is back."""
    first_delay_s: float = 0.25
    delay_max_s: float = 15.0


class Link:
    """How a device's requests get to the relay."""

    def __init__(
        self, server: Server, access_key: str, times: DeviceTimes, tls: ssl.SSLContext | None
    ) -> None:
        self.server = server
        self.times = times
        self._key = access_key
        self._tls = tls

    async def get(self, path: str, headers: Mapping[str, str]) -> Response:
        """Send a GET. Raises what `fetch` raises."""
        return await self._fetch("GET", path, headers)

    async def post(self, path: str, body: bytes) -> Response:
        """Send a POST of JSON. Raises what `fetch` raises."""
        return await self._fetch("POST", path, {"Content-Type": "application/json"}, body)

    async def _fetch(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        if self.server.tls and self._tls is None:
            # Once: reading the system's certificates takes tens of milliseconds.
            self._tls = ssl.create_default_context()
        return await fetch(
            self.server,
            method,
            path,
            headers={"Authorization": f"Bearer {self._key}", **headers},
            body=body,
            open_timeout_s=self.times.open_timeout_s,
            stale_s=self.times.stale_s,
            tls=self._tls,
        )


class Answer:
    """An answer to be read: `async for event in answer`, or `await answer.read()`.

    `stream_id` is what the relay's traces call it (empty until it was asked), `outcome` the `Ended`
    event once it was read, `connections` how many it took.

    Reading raises `Unauthorized` or `Rejected` where the relay does not take the question, and
    `Unreachable` where it cannot be asked. Once it was asked nothing is raised but
    `Unauthorized`: an answer that cannot be read to its end has the outcome `lost`.
    """

    def __init__(
        self,
        link: Link,
        body: bytes,
        *,
        lingzhu: bool,
        repeats: bool,
        over: Callable[[Answer], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.stream_id = ""
        self.outcome: Ended | None = None
        self.connections = 0
        self._link = link
        self._body = body
        self._lingzhu = lingzhu
        self._repeats = repeats
        self._over = over
        self._plain = PlainReader()
        self._reader: EventReader = self._plain
        self._parser = SseParser()
        self._response: Response | None = None
        times = link.times
        self._backoff = Backoff(jitter, first_s=times.first_delay_s, max_s=times.delay_max_s)
        self._failing_since: float | None = None
        self._events: deque[DeviceEvent] = deque()
        self._pieces: list[str] = []
        self._asked = False
        self._hung_up = asyncio.Event()

    @property
    def text(self) -> str:
        """What a device shows so far: the text of all events that were read, but no repeats."""
        return "".join(self._pieces)

    async def read(self) -> Self:
        """Read to the end."""
        async for _ in self:
            pass
        return self

    def close(self) -> None:
        """Hang up, also on a read that waits in another task. Idempotent."""
        self._hung_up.set()
        self._disconnect()
        self._over(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DeviceEvent:
        while not self._events:
            if self.outcome is not None or self._hung_up.is_set():
                raise StopAsyncIteration
            if not self._asked:
                await self._ask()
            elif self._response is None:
                await self._reconnect()
            else:
                await self._read(self._response)
        event = self._events.popleft()
        if isinstance(event, Ended):
            self.outcome = event
            self.close()
        elif isinstance(event, Text | Repair | Gap) and not event.repeated:
            self._pieces.append(event.text)
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- asking -------------------------------------------------------------------------

    async def _ask(self) -> None:
        # Never twice: where this is cancelled, nobody knows whether the relay has the question.
        self._asked = True
        try:
            await (self._ask_as_glasses() if self._lingzhu else self._trigger())
        except ConnectFailed as error:
            raise Unreachable(str(error), sent=False) from error
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise Unreachable(str(error) or type(error).__name__, sent=True) from error
        finally:
            if not self.stream_id and self._response is None:
                self.close()

    async def _trigger(self) -> None:
        response = await self._link.post("/api/rokid/trigger", self._body)
        answer = _object(await response.read_all())
        if response.status != _OK:
            raise _refusal(response.status, answer)
        stream_id = answer.get("session_id")
        if not isinstance(stream_id, str) or not stream_id:
            raise ValueError("its answer names no stream")
        self.stream_id = stream_id

    async def _ask_as_glasses(self) -> None:
        response = await self._link.post("/sse/rokid", self._body)
        if response.media_type != "text/event-stream":
            raise _refusal(response.status, _object(await response.read_all()))
        self._reader = LingzhuReader(response.headers.get("relay-error", ""))
        self.stream_id = response.headers.get("relay-stream-id", "")
        self._connected(response)

    # --- reading ------------------------------------------------------------------------

    async def _read(self, response: Response) -> None:
        try:
            events = self._parser.feed(data := await response.read())
        except (OSError, ValueError) as error:
            self._broken(str(error) or type(error).__name__)
            return
        if not data:
            self._broken("the relay has closed the connection")
            return
        self._failing_since = None
        for event in events:
            # Not before: a relay that accepts and then closes would else be hammered.
            self._backoff.reset()
            shown = self._reader.read(event)
            self._events += [
                one for one in shown if self._repeats or isinstance(one, Ended) or not one.repeated
            ]

    def _broken(self, why: str, within_s: float | None = None) -> None:
        """There is no connection (any more): connect again, unless it has lasted too long."""
        self._disconnect()
        if self._hung_up.is_set():
            return
        now = asyncio.get_running_loop().time()
        since = self._failing_since = now if self._failing_since is None else self._failing_since
        logger.info("answer %s: %s", self.stream_id, why)
        patience_s = self._link.times.give_up_s if within_s is None else within_s
        if self._lingzhu or now - since >= patience_s:
            self._events.append(Ended(LOST))

    async def _reconnect(self) -> None:
        if self._failing_since is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._backoff.next_delay()):
                    await self._hung_up.wait()
                    return
        cursor = self._plain.cursor
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if cursor:
            headers["Last-Event-ID"] = cursor
        try:
            response = await self._link.get(
                f"/streams/{quote(self.stream_id, safe='')}/events", headers
            )
        except (OSError, ValueError) as error:
            self._broken(str(error) or type(error).__name__)
            return
        if response.status == _OK and response.media_type == "text/event-stream":
            self._connected(response)
        else:
            await self._refused(response)

    async def _refused(self, response: Response) -> None:
        try:
            answer = _object(await response.read_all())
        except (OSError, ValueError):
            answer = {}
        if response.status in _UNAUTHORIZED:
            self.close()
            raise _refusal(response.status, answer)
        why = f"the relay answers {response.status} {answer.get('code', '')}"
        if response.status == _GONE and self._plain.cursor:
            # Its log is not the one that we read, or a shorter one: what is there is read anew.
            self._plain.start_over()
        elif response.status == _UNKNOWN:
            self._broken(why, self._link.times.unknown_s)
        elif response.status < _NOT_NOW and response.status != _BUSY:
            logger.warning("answer %s: %s", self.stream_id, why)
            self._events.append(Ended(LOST))
        else:
            self._broken(why)

    def _connected(self, response: Response) -> None:
        if self._hung_up.is_set():
            response.close()
            return
        self.connections += 1
        self._response = response
        self._parser = SseParser()

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


def _refusal(status: int, answer: Mapping[str, JsonValue]) -> Exception:
    """Return the error for a question that was not taken."""
    message, code = answer.get("error"), answer.get("code")
    said = message if isinstance(message, str) else f"the relay answers {status}"
    if status in _UNAUTHORIZED:
        return Unauthorized(_KEY_REFUSED)
    if status >= _NOT_NOW:
        return Unreachable(said, sent=False)
    return Rejected(said, code if isinstance(code, str) else "")


def _object(body: bytes) -> Mapping[str, JsonValue]:
    try:
        value = jsontext.loads(body)
    except jsontext.MalformedJson:
        return {}
    return value if isinstance(value, dict) else {}
