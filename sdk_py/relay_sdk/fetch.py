"""One HTTP request on one connection of its own, over asyncio streams. Why: see http1.py.

A response that nobody reads to its end is closed by `close()`, at once and from anywhere: that
is how a device hangs up.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from relay_sdk.errors import UsageError
from relay_sdk.http1 import Head, MalformedResponse, ResponseParser, encode_request

READ_BYTES = 65_536
BODY_BYTES_MAX = 1 << 20
"""What `Response.read_all` takes. The relay's JSON has a few hundred bytes."""

_TLS = {"http": False, "https": True, "ws": False, "wss": True}
_CABLE = "/cable"


@dataclass(frozen=True, slots=True)
class Server:
    """Where requests go: the parts of a relay's URL."""

    host: str
    port: int
    tls: bool
    prefix: str
    """What stands before every path, without a slash at the end."""
    authority: str
    """The `Host` header."""


def read_url(url: str) -> Server:
    """Return the server of a relay's URL, in any of the forms that `Bot` takes.

    Raises `UsageError` for anything else.
    """
    parts = urlsplit(url)
    tls = _TLS.get(parts.scheme)
    port = _port(parts)
    if tls is None or not parts.hostname or port is None:
        raise UsageError("the relay's URL must look like http://127.0.0.1:8080 or https://host")
    prefix = parts.path.rstrip("/").removesuffix(_CABLE)
    authority = parts.netloc.rpartition("@")[2]
    return Server(parts.hostname, port or (443 if tls else 80), tls, prefix, authority)


def _port(parts: SplitResult) -> int | None:
    """Return the port; 0 where none is given, None where it is none."""
    try:
        return parts.port or 0
    except ValueError:
        return None


class Response:
    """A response whose head has come."""

    def __init__(
        self,
        head: Head,
        first: bytes,
        parser: ResponseParser,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        stale_s: float,
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._first = first
        self._parser = parser
        self._reader, self._writer = streams
        self._stale_s = stale_s

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self) -> bytes:
        """Return the next bytes of the body, empty at its end. Cancelling it loses nothing.

        Raises `TimeoutError` after `stale_s` without a byte, `OSError` where the connection
        breaks, `MalformedResponse` where the body breaks off.
        """
        if self._first:
            first, self._first = self._first, b""
            return first
        while not self._parser.finished:
            async with asyncio.timeout(self._stale_s):
                data = await self._reader.read(READ_BYTES)
            if not data:
                self._parser.feed_eof()
            elif body := self._parser.feed(data):
                return body
        return b""

    async def read_all(self) -> bytes:
        """Return the whole body and close. Raises what `read` raises."""
        body = bytearray()
        try:
            while data := await self.read():
                body += data
                if len(body) > BODY_BYTES_MAX:
                    raise MalformedResponse(f"the body is larger than {BODY_BYTES_MAX} bytes")
        finally:
            self.close()
        return bytes(body)

    def close(self) -> None:
        """Hang up. Whoever is reading sees the body break off. Idempotent."""
        self._writer.transport.abort()


async def fetch(
    server: Server,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    open_timeout_s: float,
    stale_s: float,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Send a request and return the response as soon as its head has come.

    Connecting and encrypting may take `open_timeout_s`; any silence after it `stale_s`. `tls`
    is the context of https, by default the system's certificates. Raises `ConnectFailed` where
    nothing was sent, else what `Response.read` raises.
    """
    head = {"Host": server.authority, "Connection": "close", **headers}
    request = encode_request(method, server.prefix + path, head, body)
    context = (tls or ssl.create_default_context()) if server.tls else None
    try:
        async with asyncio.timeout(open_timeout_s):
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
    except (OSError, TimeoutError) as error:
        raise ConnectFailed(str(error) or type(error).__name__) from error
    try:
        async with asyncio.timeout(stale_s):
            writer.write(request)
            # A relay that refuses may answer before it has read everything.
            with suppress(ConnectionError):
                await writer.drain()
            return await _read_head(reader, writer, stale_s)
    except BaseException:
        writer.transport.abort()
        raise


class ConnectFailed(OSError):
    """No connection: the request was not sent."""


async def _read_head(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stale_s: float
) -> Response:
    parser = ResponseParser()
    while True:
        data = await reader.read(READ_BYTES)
        if not data:
            parser.feed_eof()
        first = parser.feed(data)
        if parser.head is not None:
            return Response(parser.head, first, parser, (reader, writer), stale_s)
