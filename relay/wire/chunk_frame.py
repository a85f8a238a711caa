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


def chunk_receipt(identifier: str, stream_id: str, now_iso: str) -> tuple[str, str]:
    """Return what stands before and behind the sequence in a `chunk_received` frame."""
    payload = encode(Acked(stream_id, _PLACE, 0, (), 0), LEGACY, now_iso=now_iso)
    assert payload is not None
    head, _, tail = message(identifier, payload).partition(f'"sequence":{_PLACE}')
    return f'{head}"sequence":', tail
