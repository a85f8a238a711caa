"""Long text into chunks that the relay takes."""

from __future__ import annotations

from collections.abc import Iterator

from relay.protocol.limits import CHUNK_BYTES_MAX

_UTF8_BYTES_MAX = 4
"""UTF-8 needs at most four bytes per code point."""


_CONTINUATION = 0b1000_0000
"""The two highest bits of every byte that does not start a code point."""


def split_content(text: str, bytes_max: int = CHUNK_BYTES_MAX) -> Iterator[str]:
    """Cut well-formed text into pieces of at most `bytes_max` of UTF-8, never in a code point.

    Empty text has no pieces.
    """
    if len(text) * _UTF8_BYTES_MAX <= bytes_max:
        if text:
            yield text
        return
    data = text.encode()
    start = 0
    while start < len(data):
        stop = min(start + bytes_max, len(data))
        while stop < len(data) and data[stop] & 0b1100_0000 == _CONTINUATION:
            stop -= 1
        yield data[start:stop].decode()
        start = stop
