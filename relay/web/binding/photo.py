"""A photo, as a device names it, becomes the texts of its QR codes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from relay.errors import SettingsError
from relay.settings import PREFIX
from relay.settings_parsed import BindingPhoto
from relay.wire import jsontext

BYTES_MAX: Final = 5 * 1024 * 1024
"""As the decoder has it."""

DECODE_S: Final = 3.0
"""A photo of 12 million pixels takes a quarter of a second."""

AT_ONCE: Final = 2
"""How many photos are loaded and looked at at a time; one more is refused and not queued."""

_DECODER: Final = Path(__file__).with_name("decode.py")
_EXTRA: Final = ("PIL", "zxingcpp")
_KEPT: Final = frozenset({"LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ"})
"""What the decoder gets of the environment, in which the relay's secrets are."""


class PhotoRefused(Exception):
    """A photo that was not read; the reason is for operators and names no URL."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Busy(Exception):
    """Too many photos at the same time."""


class Fetcher(Protocol):
    """Loads a photo from the web."""

    async def fetch(self, url: str) -> bytes:
        """Return what is at this URL, at most `BYTES_MAX`. Raises `PhotoRefused`."""
        ...


def check_extra(photo: BindingPhoto) -> None:
    """Raise `SettingsError` where photos are to be read and what reads them is missing."""
    if photo != "off" and any(find_spec(name) is None for name in _EXTRA):
        raise SettingsError(
            f"{PREFIX}BINDING_PHOTO",
            photo,
            "reading photos needs the extra `qr`: pip install 'relay-stream[server,qr]'",
        )


class PhotoReader:
    """Reads photos within the request, and with a fetcher also those that it only names."""

    def __init__(self, fetcher: Fetcher | None = None, *, decoder: Path = _DECODER) -> None:
        self._fetcher = fetcher
        self._decoder = decoder
        self._open = 0

    async def read(self, image: str) -> list[str]:
        """Return the texts of all QR codes in the photo.

        `image` is a `data:` URL or, where photos are fetched, an `https:` one. Raises
        `PhotoRefused` where it cannot be had or read, and `Busy`.
        """
        if self._open >= AT_ONCE:
            raise Busy
        self._open += 1
        try:
            return await decode(await self._bytes(image), self._decoder)
        finally:
            self._open -= 1

    async def _bytes(self, image: str) -> bytes:
        if image[:5].lower() == "data:":
            return within(image)
        if self._fetcher is None:
            raise PhotoRefused("photos are not fetched here")
        return await self._fetcher.fetch(image)


def within(url: str) -> bytes:
    """Return the bytes of a `data:` URL (RFC 2397) in base 64. Raises `PhotoRefused`."""
    head, comma, body = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise PhotoRefused("a data: URL without base64")
    try:
        # A percent sign stands for a character that a URL may not hold, as `+` in a form.
        photo = base64.b64decode(b"".join(unquote_to_bytes(body).split()), validate=True)
    except (binascii.Error, ValueError):
        raise PhotoRefused("a data: URL whose base64 is broken") from None
    if len(photo) > BYTES_MAX:
        raise PhotoRefused("the photo is too large")
    return photo


async def decode(photo: bytes, decoder: Path = _DECODER) -> list[str]:
    """Return the texts of the QR codes in a photo. Raises `PhotoRefused`.

    The decoder is a process: whatever a photo does to it, it is gone after `DECODE_S`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(decoder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name in _KEPT},
        cwd="/",
    )
    try:
        async with asyncio.timeout(DECODE_S):
            out, _ = await process.communicate(photo)
    except TimeoutError:
        raise PhotoRefused("the photo took too long to read") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise PhotoRefused("this is no photo that can be read")
    return _texts(out)


def _texts(out: bytes) -> list[str]:
    try:
        found = jsontext.loads(out)
    except jsontext.MalformedJson:
        found = None
    if not isinstance(found, list):
        raise PhotoRefused("the decoder did not answer")
    return [text for text in found if isinstance(text, str)]
