"""Cuts the bytes of one input into the values that a target needs.

The engine has such a class of its own; this one works without it, and reads what a person can
write by hand.
"""

from __future__ import annotations

from typing import Final

SEPARATOR: Final = b"\x1f"
"""Stands between the values of one input: content may have every other byte."""


def fields(data: bytes, count: int) -> list[bytes]:
    """Return exactly so many values; the missing ones are empty, and the last holds the rest."""
    found = data.split(SEPARATOR, count - 1)
    return [*found, *[b""] * (count - len(found))]


def text(data: bytes) -> str:
    """Return a text for any bytes. It may hold halves of surrogate pairs, as a bot's may.

    Two halves that belong together are one character, as whatever reads JSON makes them.
    """
    try:
        found = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        found = data.decode("utf-8", "surrogateescape")
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def number(data: bytes, most: int) -> int:
    """Return a number in 0..most."""
    return int.from_bytes(data[:4], "big") % (most + 1)


def cut(data: bytes, size: int) -> list[bytes]:
    """Return the bytes in pieces of this size, as a socket may bring them; never none."""
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]
