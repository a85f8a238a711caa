"""Loads a photo from where a device says it is, without becoming a way into the own network.

The URL comes from outside. So the name is resolved once, every address that it has must be one
of the open Internet, and the connection goes to that address and to no other: a name server that
gives another answer the next time is not asked again. Redirects are not followed, nothing of the
relay's is sent along, and bytes and seconds are bounded.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from relay.web.binding.addresses import is_disguised, is_open
from relay.web.binding.photo import BYTES_MAX, PhotoRefused

FETCH_S: Final = 5.0
"""For all of it, from the name to the last byte."""

URL_CHARS_MAX: Final = 4096

PORT: Final = 443
"""Only https: whoever sits on the way of an http photo could put another bot's code into it."""

ADDRESSES_MAX: Final = 2
"""How many addresses of a name are tried where one does not answer."""

READ_BYTES: Final = 65_536

_URL: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host. Raises `OSError`."""

Dial = Callable[[str, int, str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Opens a connection to an address and port, whose certificate must be that of the host."""


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    target: str
    authority: str


class PhotoFetcher:
    """A `Fetcher` for https URLs. `resolve` and `dial` are the system's, but in tests."""

    def __init__(self, *, resolve: Resolve | None = None, dial: Dial | None = None) -> None:
        self._resolve = resolve or resolve_host
        self._dial = dial or dialer()

    async def fetch(self, url: str) -> bytes:
        """Return what is at the URL, at most `BYTES_MAX`. Raises `PhotoRefused`."""
        place = _read(url)
        try:
            async with asyncio.timeout(FETCH_S):
                addresses = await self._addresses(place.host)
                reader, writer = await self._connect(addresses, place.host)
                try:
                    return await _get(reader, writer, place)
                finally:
                    # Not closed politely: a peer that goes on sending is not listened to.
                    writer.transport.abort()
        except TimeoutError:
            raise PhotoRefused("the photo took too long to load") from None
        except (OSError, UnicodeError, h11.ProtocolError) as error:
            raise PhotoRefused(f"the photo could not be loaded: {type(error).__name__}") from None

    async def _addresses(self, host: str) -> Sequence[str]:
        addresses = await self._resolve(host, PORT)
        if not addresses or not all(is_open(address) for address in addresses):
            # One of several is enough: which one is taken must not be a matter of luck.
            raise PhotoRefused("the photo is not on the open Internet")
        return addresses

    async def _connect(
        self, addresses: Sequence[str], host: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        error: OSError = ConnectionRefusedError()
        for address in addresses[:ADDRESSES_MAX]:
            try:
                return await self._dial(address, PORT, host)
            except OSError as failed:
                error = failed
        raise error


def _read(url: str) -> _Place:
    """Take a URL apart. Raises `PhotoRefused` for all but a plain https URL of a public name."""
    if len(url) > URL_CHARS_MAX or not _URL.fullmatch(url):
        raise PhotoRefused("the photo's URL is too long, or has characters that none has")
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise PhotoRefused("the photo's URL cannot be read") from None
    if parts.scheme != "https":
        raise PhotoRefused("the photo's URL is not https")
    if "@" in parts.netloc or port not in (None, PORT):
        raise PhotoRefused("the photo's URL names a user or a port")
    if not _HOST.fullmatch(host) or is_disguised(host):
        raise PhotoRefused("the photo's URL names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(host, target, f"[{host}]" if ":" in host else host)


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Ask the system for all addresses of a host. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def dialer(context: ssl.SSLContext | None = None) -> Dial:
    """Return what opens connections, with the system's certificates unless others are given."""
    trusted = context or ssl.create_default_context()

    async def dial(
        address: str, port: int, host: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # The address is a number: nothing is resolved here any more.
        return await asyncio.open_connection(
            address, port, ssl=trusted, server_hostname=host, limit=READ_BYTES
        )

    return dial


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: _Place) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", place.authority),
        ("User-Agent", "relay"),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=place.target, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    body = bytearray()
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(READ_BYTES))
            case h11.Response():
                _check(event)
            case h11.Data():
                body += event.data
                if len(body) > BYTES_MAX:
                    raise PhotoRefused("the photo is too large")
            case h11.EndOfMessage():
                return bytes(body)
            case h11.InformationalResponse():
                pass
            case _:
                raise PhotoRefused("the photo's server hung up")


def _check(response: h11.Response) -> None:
    if response.status_code != 200:  # noqa: PLR2004 - a redirect would lead anywhere
        raise PhotoRefused(f"the photo's server says {response.status_code}")
    headers = {name.lower(): value for name, value in response.headers}
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise PhotoRefused("the photo is compressed")
    length = headers.get(b"content-length", b"0")
    if int(length) > BYTES_MAX:
        raise PhotoRefused("the photo is too large")
