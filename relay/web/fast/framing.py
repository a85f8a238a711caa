"""The chunked transfer coding of HTTP/1.1 (RFC 9112, section 7.1)."""

from __future__ import annotations

from typing import Final

_HEADS: Final = 1024
_SHORT_HEADS: Final = [b"%x\r\n" % size for size in range(_HEADS)]
"""What stands before a short chunk, as nearly all are: looked up, not made."""


class Framing:
    """Frames bodies. Readers who are up to date are all written the same one: it is framed once."""

    __slots__ = ("_data", "_framed")

    def __init__(self) -> None:
        self._data = self._framed = b""

    def chunk_of(self, data: bytes) -> bytes:
        """Return one chunk of the chunked coding; `data` is not empty: that would be the end."""
        if data is not self._data:
            size = len(data)
            head = _SHORT_HEADS[size] if size < _HEADS else b"%x\r\n" % size
            self._data = data
            self._framed = head + data + b"\r\n"
        return self._framed
