"""The two frames that nearly all frames are: a plain `stream_chunk`, and its receipt.

`read_chunk` takes it where nothing about it is unusual and leaves every other frame to
`CableServer` and `bot_decode`, which say what frames mean. What it takes, it takes exactly as they
do: a test compares them.
"""

from __future__ import annotations

from typing import Final

from relay.protocol.events import Chunk
from relay.protocol.limits import CHUNK_BYTES_MAX, SEQUENCE_MAX
from relay.wire.bot_decode import exceeds_utf8
from relay.wire.bot_encode import encode
from relay.wire.bot_messages import Acked
from relay.wire.cable import FRAME_BYTES_MAX, message
from relay.wire.chunk_json import read_frame, read_payload
from relay.wire.jsontext import dumps

_FRAME_CHARS: Final = FRAME_BYTES_MAX // 4
_CHUNK_CHARS: Final = CHUNK_BYTES_MAX // 4
"""Text of so many characters is within the limit, whatever they are."""


LEGACY: Final = 1
_REST_BYTES: Final = 40
"""A sequence and a time."""
_PLACE: Final = -1
"""No sequence, so nobody else's."""


ChunkFrame = tuple[str, str, Chunk]
"""The subscription's identifier, the stream's id, and the chunk."""


def read_chunk(raw: str) -> ChunkFrame | None:
    """Return the chunk that a text frame carries, or None where the frame is anything else.

    None also where it may be refused: whoever refuses says why.
    """
    if len(raw) > _FRAME_CHARS:
        return None
    try:
        frame = read_frame(raw)
        payload = read_payload(frame.data)
    except (ValueError, RecursionError):  # of JSON, of its shape, or half a surrogate pair
        return None
    sequence, content, stream_id = payload.sequence, payload.content, payload.session_id
    if type(sequence) is not int or not 0 <= sequence <= SEQUENCE_MAX:
        return None
    if len(content) > _CHUNK_CHARS and exceeds_utf8(content, CHUNK_BYTES_MAX):
        return None
    if not stream_id or stream_id.isspace():
        return None
    return frame.identifier, stream_id, Chunk(content, sequence)


class Receipts:
    """The `chunk_received` frames of one subscription: but for these three they are the same."""

    __slots__ = ("_head", "_id", "_tail", "_time", "size")

    def __init__(self, identifier: str) -> None:
        self._head, self._id, self._time, self._tail = _around(identifier)
        parts = len(self._head) + len(self._id) + len(self._time) + len(self._tail)
        self.size = parts + _REST_BYTES
        """About how many bytes a frame has, beside its stream's id."""

    def of(self, stream_id: str, last: int, count: int, now_iso: str) -> list[str]:
        """Return the frames for the `count` sequences of a stream that end with `last`.

        `now_iso` is a time: nothing in it has to be escaped.
        """
        rest = f"{self._id}{_quoted(stream_id)}{self._time}{now_iso}{self._tail}"
        if count == 1:  # mostly
            return [f"{self._head}{last}{rest}"]
        return [f"{self._head}{number}{rest}" for number in range(last - count + 1, last + 1)]


def _quoted(stream_id: str) -> str:
    """Return the id as JSON. Those of the relay are letters and digits, which need no escape."""
    if stream_id.isalnum():
        return f'"{stream_id}"'
    return dumps(stream_id).decode()


def _around(identifier: str) -> tuple[str, str, str, str]:
    """Return what stands before the sequence, the stream's id and the time, and behind that."""
    payload = encode(Acked("", _PLACE, 0, (), 0), LEGACY, now_iso="")
    assert payload is not None
    # From the end: the identifier stands in front, and may hold anything.
    rest, _, tail = message(identifier, payload).rpartition('"timestamp":""')
    rest, _, time = rest.rpartition('"session_id":""')
    head, _, stream = rest.rpartition(f'"sequence":{_PLACE}')
    return f'{head}"sequence":', f'{stream}"session_id":', f'{time}"timestamp":"', f'"{tail}'
