"""The two frames that nearly all frames are: a plain `stream_chunk`, and its receipt.

`read_chunk` takes it where nothing about it is unusual and leaves every other frame to
`CableServer` and `bot_decode`, which say what frames mean. What it takes, it takes exactly as they
do: a test compares them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from relay.protocol.events import Chunk
from relay.protocol.limits import CHUNK_BYTES_MAX, SEQUENCE_MAX
from relay.wire.bot_decode import exceeds_utf8
from relay.wire.bot_encode import encode
from relay.wire.bot_messages import Acked
from relay.wire.cable import FRAME_BYTES_MAX, message
from relay.wire.jsontext import dumps


class _Frame(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    command: Literal["message"]
    identifier: str
    data: str


class _Chunk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["stream_chunk"]
    session_id: str
    content: str
    sequence: int | float
    """A float only to tell 1.0, which is no sequence, from 1."""


_read_frame = msgspec.json.Decoder(_Frame).decode
_read_payload = msgspec.json.Decoder(_Chunk).decode

_FRAME_CHARS = FRAME_BYTES_MAX // 4
_CHUNK_CHARS = CHUNK_BYTES_MAX // 4
"""Text of so many characters is within the limit, whatever they are."""


LEGACY = 1
_REST_BYTES = 40
"""A sequence and a time."""
_PLACE = -1
"""No sequence, so nobody else's."""


class ChunkFrame(msgspec.Struct, frozen=True, gc=False):
    """One chunk of one stream, on one subscription."""

    identifier: str
    stream_id: str
    chunk: Chunk


def read_chunk(raw: str) -> ChunkFrame | None:
    """Return the chunk that a text frame carries, or None where the frame is anything else.

    None also where it may be refused: whoever refuses says why.
    """
    if len(raw) > _FRAME_CHARS:
        return None
    try:
        frame = _read_frame(raw)
        payload = _read_payload(frame.data)
    except (ValueError, RecursionError):  # of JSON, of its shape, or half a surrogate pair
        return None
    sequence, content, stream_id = payload.sequence, payload.content, payload.session_id
    if type(sequence) is not int or not 0 <= sequence <= SEQUENCE_MAX:
        return None
    if len(content) > _CHUNK_CHARS and exceeds_utf8(content, CHUNK_BYTES_MAX):
        return None
    if not stream_id or stream_id.isspace():
        return None
    return ChunkFrame(frame.identifier, stream_id, Chunk(content, sequence))


class Receipts:
    """The `chunk_received` frames of one subscription: they differ in their number and stream."""

    __slots__ = ("_identifier", "_now_iso", "_parts", "_stream_id", "_tail", "size")

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._now_iso = self._tail = ""
        self._stream_id: str | None = None
        self._parts = _around(identifier, "")
        self.size = sum(map(len, self._parts)) + _REST_BYTES
        """About how many bytes a frame has, beside its stream's id."""

    def of(self, stream_id: str, last: int, count: int, now_iso: str) -> list[str]:
        """Return the frames for the `count` sequences of a stream that end with `last`."""
        if now_iso != self._now_iso:
            self._parts = _around(self._identifier, now_iso)
            self._now_iso, self._stream_id = now_iso, None
        head, between, tail = self._parts
        if stream_id != self._stream_id:
            self._tail = f"{between}{dumps(stream_id).decode()}{tail}"
            self._stream_id = stream_id
        tail = self._tail
        if count == 1:  # mostly
            return [f"{head}{last}{tail}"]
        return [f"{head}{number}{tail}" for number in range(last - count + 1, last + 1)]


def _around(identifier: str, now_iso: str) -> tuple[str, str, str]:
    """Return what stands before the sequence, between it and the stream's id, and behind that."""
    payload = encode(Acked("", _PLACE, 0, (), 0), LEGACY, now_iso=now_iso)
    assert payload is not None
    number, stream = f'"sequence":{_PLACE}', '"session_id":""'
    # From the end: the identifier stands in front, and may hold anything.
    rest, _, tail = message(identifier, payload).rpartition(stream)
    head, _, between = rest.rpartition(number)
    return f'{head}"sequence":', f'{between}"session_id":', tail
