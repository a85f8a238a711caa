"""What a client says in frames that are no text (RFC 6455, section 5.5): `FrameReader` makes them.

By themselves, as a flood makes thousands a second: they are `Struct`s, which what reads them could
not have beside it, since it may be compiled.
"""

from __future__ import annotations

from msgspec import Struct


class Binary(Struct, frozen=True, gc=False):
    """A whole binary message. The relay's protocol has none."""

    size: int
    """Bytes."""


class Ping(Struct, frozen=True, gc=False):
    """To be answered with `pong(payload)`."""

    payload: bytes


class Pong(Struct, frozen=True, gc=False):
    """The answer to a ping, or none that was asked for."""

    payload: bytes


class Close(Struct, frozen=True, gc=False):
    """The client closes: answer with `close(code)`, and read no more."""

    code: int | None
    """None where the frame states none."""


Control = Binary | Ping | Pong | Close
"""All that is no text."""
