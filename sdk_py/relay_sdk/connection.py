"""The bot's socket: connects, subscribes, and connects again.

    connect --> subscribe --> connected + confirmed --> messages --+
       ^                                                           |
       +------------- delay <----- broken, stale, restarting <-----+
                                   unauthorized, fenced, rejected --> raised

All frames leave by one path: what is sent in one go is written in one go, in that order.
Nothing is queued while there is no connection; the senders know what to send again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from relay.wire import cable_client
from relay.wire.bot_client import decode_outbound
from relay.wire.bot_messages import RELIABLE, Connected, Outbound
from relay.wire.cable import SUBPROTOCOL
from relay.wire.cable_client import CableClient
from relay.wire.jsontext import JsonValue
from relay_sdk.backoff import Backoff
from relay_sdk.errors import Fenced, Refusal, Rejected, Unauthorized, UsageError

logger = logging.getLogger("relay_sdk")

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_CABLE = "/cable"


@dataclass(frozen=True, slots=True)
class ConnectionTimes:
    """The connection's times, in seconds."""

    stale_s: float = 9.0
    """Without a frame for so long (three of the relay's pings) the connection is dead."""
    open_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    first_delay_s: float = 0.25
    delay_max_s: float = 15.0
    busy_delay_max_s: float = 6.0
    """The same while an answer is unfinished: a relay that comes back waits 8 s for its bots."""


class Listener(Protocol):
    """Who is told what comes in."""

    def on_message(self, message: Outbound) -> None:
        """One message of the relay; `Connected` is the first on every connection."""
        ...

    def on_lost(self) -> None:
        """The connection broke."""
        ...


def cable_url(url: str) -> str:
    """Return the WebSocket URL of a relay: `http(s)://` or `ws(s)://`, with or without /cable.

    Raises `UsageError` for anything else.
    """
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise UsageError("the relay's URL must look like http://127.0.0.1:8080 or https://host")
    path = parts.path.rstrip("/")
    if not path.endswith(_CABLE):
        path += _CABLE
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


class Connection:
    """Keeps one subscription alive until the relay refuses it for good.

    `is_busy` says whether an answer waits for the connection.
    """

    def __init__(
        self,
        url: str,
        token: str,
        identifier: str,
        listener: Listener,
        *,
        times: ConnectionTimes | None = None,
        jitter: Callable[[], float] = random.random,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        if not (token.isascii() and token.isprintable()):
            # It would never become a header, and the exception about that would quote it.
            raise UsageError("a token is printable ASCII on one line: was all of it copied?")
        self._url = cable_url(url)
        self._host = urlsplit(self._url).netloc.rpartition("@")[2]
        self._token = token
        self._cable = CableClient(identifier)
        self._listener = listener
        self._is_busy = is_busy
        self._times = times or ConnectionTimes()
        self._backoff = Backoff(
            jitter, first_s=self._times.first_delay_s, max_s=self._times.delay_max_s
        )
        self._outbox: deque[str] = deque()
        self._wake = asyncio.Event()
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._open = False
        self._failed = 0
        self._told_s = 0.0
        # websockets writes request headers, and so the token, into its debug log.
        self._quiet = logging.getLogger("relay_sdk.socket")
        self._quiet.setLevel(logging.INFO)

    def __repr__(self) -> str:
        return f"Connection({self._host})"

    async def run(self) -> NoReturn:
        """Stay connected. Raises the `Refusal` that ends it; else runs until it is cancelled."""
        while True:
            try:
                await self._connect_once()
            except InvalidStatus as error:
                if error.response.status_code in (401, 403):
                    raise Unauthorized from None
                logger.warning("%s answers %s", self._host, error.response.status_code)
                self._told_s = _seconds(error.response.headers.get("Retry-After", ""))
            except (OSError, WebSocketException, TimeoutError) as error:
                # Once: a script that has set up no logging would else seem to hang.
                level = logging.WARNING if self._failed == 0 else logging.INFO
                why = str(error) or type(error).__name__
                logger.log(level, "connection to %s: %s; trying again", self._host, why)
                self._failed += 1
            busy = self._is_busy()
            max_s = self._times.busy_delay_max_s if busy else None
            delay_s = self._backoff.next_delay(max_s, told_s=self._told_s)
            self._told_s = 0.0
            logger.info("connecting to %s again in %.2f s", self._host, delay_s)
            await asyncio.sleep(delay_s)

    def send(self, payload: Mapping[str, JsonValue]) -> None:
        """Send one message of the subscription, or drop it while there is no connection."""
        if self._open:
            self._put(self._cable.perform(payload))

    async def flushed(self) -> None:
        """Wait until all that was sent is with the operating system, or the connection broke."""
        await self._flushed.wait()

    # --- inside -------------------------------------------------------------------------

    def _put(self, frame: str) -> None:
        self._outbox.append(frame)
        self._flushed.clear()
        self._wake.set()

    async def _connect_once(self) -> None:
        times = self._times
        async with connect(
            self._url,
            additional_headers={"Authorization": f"Bearer {self._token}"},
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            open_timeout=times.open_timeout_s,
            close_timeout=times.close_timeout_s,
            ping_interval=None,  # the relay's own pings tell whether it lives
            logger=self._quiet,
        ) as socket:
            # Not sent from here: a relay that refuses has closed already, and then only reading
            # still tells why.
            self._put(self._cable.subscribe())
            writer = asyncio.create_task(self._write(socket))
            try:
                await self._read(socket)
            finally:
                writer.cancel()
                self._lose()

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            try:
                async with asyncio.timeout(self._times.stale_s):
                    raw = await socket.recv()
            except TimeoutError:
                socket.transport.abort()
                raise TimeoutError(f"no frame for {self._times.stale_s:.1f} s") from None
            match self._cable.receive(raw):
                case cable_client.Message(payload):
                    self._take(payload)
                case cable_client.Confirmed():
                    self._backoff.reset()
                    self._failed = -1  # the first failure is a break, not an attempt
                case cable_client.Rejected():
                    raise Rejected("the relay refuses the subscription: check `bot_id`")
                case cable_client.Disconnect(reason, reconnect, retry_after_s):
                    if not reconnect:
                        raise _refusal(reason)
                    self._told_s = retry_after_s
                    logger.info("the relay closes the connection: %s", reason)
                    return
                case cable_client.Unknown(why):
                    logger.debug("frame ignored: %s", why)
                case cable_client.Welcome() | cable_client.Ping():
                    pass

    def _take(self, payload: Mapping[str, JsonValue]) -> None:
        message = decode_outbound(payload)
        if message is None:
            logger.debug("message ignored: %.40r", payload.get("type"))
            return
        if isinstance(message, Connected):
            if message.protocol < RELIABLE:
                raise Rejected("this relay speaks only protocol 1: it needs an upgrade")
            self._open = True
        self._listener.on_message(message)

    async def _write(self, socket: ClientConnection) -> None:
        # A connection that breaks is noticed by the reader.
        with suppress(WebSocketException):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox:
                    await socket.send(self._outbox.popleft())
                self._flushed.set()

    def _lose(self) -> None:
        was_open, self._open = self._open, False
        self._outbox.clear()
        self._wake.clear()
        self._flushed.set()
        if was_open:
            self._listener.on_lost()


def _seconds(header: str) -> float:
    """Read `Retry-After`; a date, which the relay never sends, says nothing."""
    return float(header) if re.fullmatch(r"[0-9]{1,9}", header) else 0.0


def _refusal(reason: str) -> Refusal:
    match reason:
        case "unauthorized":
            return Unauthorized()
        case "fenced":
            return Fenced()
        case _:
            return Rejected(
                f"the relay has closed the connection for good: {reason or 'no reason'}"
            )
