"""The streams that a node keeps, and who may read them."""

from __future__ import annotations

from collections import OrderedDict

from relay.errors import PositionGone, UnknownStream
from relay.node.stream import NodeStream

EXPIRED_MAX = 10_000
"""How many expired streams are remembered, to answer 410 instead of 404."""


class Registry:
    """Streams by their ids, and by the conversations that they belong to."""

    def __init__(self) -> None:
        self._streams: dict[str, NodeStream] = {}
        self._newest: dict[tuple[int, str], str] = {}
        self._expired: OrderedDict[str, int] = OrderedDict()

    def get(self, stream_id: str) -> NodeStream | None:
        """Return the stream, or None where this node does not keep one of this id."""
        return self._streams.get(stream_id)

    def streams(self) -> tuple[NodeStream, ...]:
        """Return all streams that are kept: open ones, and finished ones in their retention."""
        return tuple(self._streams.values())

    def has_expired(self, stream_id: str) -> bool:
        """Whether there was such a stream not long ago."""
        return stream_id in self._expired

    def add(self, stream: NodeStream) -> None:
        """Keep a stream; it is the newest of its conversation."""
        meta = stream.record.meta
        self._streams[stream.stream_id] = stream
        self._newest[meta.access_key_id, meta.conversation_id] = stream.stream_id

    def expire(self, stream: NodeStream) -> None:
        """Keep a stream no longer, and remember that it was there."""
        meta = stream.record.meta
        del self._streams[stream.stream_id]
        if self._newest.get((meta.access_key_id, meta.conversation_id)) == stream.stream_id:
            del self._newest[meta.access_key_id, meta.conversation_id]
        self._expired[stream.stream_id] = meta.access_key_id
        while len(self._expired) > EXPIRED_MAX:
            self._expired.popitem(last=False)

    def readable(self, stream_id: str, access_key_id: int | None) -> NodeStream:
        """Return a stream to somebody who may read it; None is whoever has a ticket for it.

        Raises `UnknownStream`, also where another key opened it, and `PositionGone` where it
        has expired.
        """
        stream = self._streams.get(stream_id)
        owner = stream.record.meta.access_key_id if stream else self._expired.get(stream_id)
        if owner is None or access_key_id not in (None, owner):
            raise UnknownStream(stream_id)
        if stream is None:
            raise PositionGone("this stream has ended and its retention is over")
        return stream

    def find(self, access_key_id: int, session_id: str) -> NodeStream:
        """Return the stream of this id or, failing that, the newest of this conversation.

        Raises as `readable` does.
        """
        stream_id = session_id
        if session_id not in self._streams:
            stream_id = self._newest.get((access_key_id, session_id), session_id)
        return self.readable(stream_id, access_key_id)
