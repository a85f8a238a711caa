"""The chunked transfer coding of HTTP/1.1 (RFC 9112, section 7.1)."""

from __future__ import annotations


class Framing:
    """Frames bodies. Readers who are up to date are all written the same one: it is framed once."""

    __slots__ = ("_data", "_framed")

    def __init__(self) -> None:
        self._data = self._framed = b""

    def chunk_of(self, data: bytes) -> bytes:
        """Return one chunk of the chunked coding; `data` is not empty: that would be the end."""
        if data is not self._data:
            self._data = data
            self._framed = b"%x\r\n%b\r\n" % (len(data), data)
        return self._framed
