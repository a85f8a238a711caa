"""The streams that a node keeps, and who may read them."""

from __future__ import annotations

from relay.admin.people import EVERYTHING, Scope
from relay.broker.base import StreamMeta
from relay.errors import PositionGone, UnknownStream
from relay.node.expired import Expired
from relay.node.followed import FollowedStream
from relay.node.stream import NodeStream


class Registry:
    """Streams by their ids, and by the conversations that they belong to."""

    def __init__(self) -> None:
        self._streams: dict[str, NodeStream] = {}
        self._followed: dict[str, FollowedStream] = {}
        self._newest: dict[tuple[int, str], str] = {}
        self._expired = Expired()

    def get(self, stream_id: str) -> NodeStream | None:
        """Return the stream, or None where this node owns none of this id."""
        return self._streams.get(stream_id)

    def of_bot(self, bot_id: int, stream_id: str) -> NodeStream | None:
        """Return the bot's stream, or None where this node owns none of this id for this bot."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.bot_id != bot_id:
            return None
        return stream

    def kept(self, stream_id: str) -> NodeStream | FollowedStream | None:
        """Return the stream that devices can read here, whoever owns it."""
        return self._streams.get(stream_id) or self._followed.get(stream_id)

    def streams(self) -> tuple[NodeStream, ...]:
        """Return all that this node owns: open ones, and finished ones in their retention."""
        return tuple(self._streams.values())

    def all_followed(self) -> tuple[FollowedStream, ...]:
        """Return the streams of other nodes that are read here."""
        return tuple(self._followed.values())

    def all_kept(self) -> tuple[NodeStream | FollowedStream, ...]:
        """Return all that devices can read here, whoever owns it."""
        return (*self._streams.values(), *self._followed.values())

    def has_expired(self, stream_id: str) -> bool:
        """Whether there was such a stream not long ago."""
        return self._expired.key_of(stream_id) is not None

    def add(self, stream: NodeStream) -> None:
        """Keep a stream; it is the newest of its conversation."""
        self._followed.pop(stream.stream_id, None)
        self._streams[stream.stream_id] = stream
        meta = stream.meta
        self._newest[meta.access_key_id, meta.conversation_id] = meta.stream_id

    def follow(self, followed: FollowedStream) -> None:
        """Keep a stream for its readers here; this node does not own it (any more)."""
        self._streams.pop(followed.stream_id, None)
        self._followed[followed.stream_id] = followed
        meta = followed.meta
        self._newest.setdefault((meta.access_key_id, meta.conversation_id), meta.stream_id)

    def unfollow(self, followed: FollowedStream) -> None:
        """Keep a stream of another node no longer; whoever asks for it again finds its log."""
        self._followed.pop(followed.stream_id, None)
        # It knows its readers, too: else only a garbage collector would free the two.
        followed.readership.host = None
        self._is_not_newest(followed.meta)

    def _is_not_newest(self, meta: StreamMeta) -> None:
        if self._newest.get((meta.access_key_id, meta.conversation_id)) == meta.stream_id:
            del self._newest[meta.access_key_id, meta.conversation_id]

    def expire(self, stream: NodeStream) -> None:
        """Keep a stream no longer, and remember that it was there."""
        meta = stream.record.meta
        del self._streams[stream.stream_id]
        self._is_not_newest(meta)
        self._expired.add(stream.stream_id, meta.access_key_id)

    def readable(
        self, stream_id: str, access_key_id: int | None, scope: Scope = EVERYTHING
    ) -> NodeStream | FollowedStream:
        """Return a stream to somebody who may read it; None is whoever has a ticket for it.

        Raises `UnknownStream`, also where another key opened it, where it lies outside of the
        key's scope, and where it was taken away from its key; `PositionGone` where it has expired.
        """
        stream = self.kept(stream_id)
        owner = stream.meta.access_key_id if stream else self._expired.key_of(stream_id)
        if owner is None or access_key_id not in (None, owner):
            raise UnknownStream(stream_id)
        if stream is None:
            raise PositionGone("this stream has ended and its retention is over")
        if stream.readership.withdrawn or not within(scope, stream.meta):
            raise UnknownStream(stream_id)
        return stream

    def find(
        self, access_key_id: int, session_id: str, scope: Scope = EVERYTHING
    ) -> NodeStream | FollowedStream:
        """Return the stream of this id or, failing that, the newest of this conversation.

        Raises as `readable` does.
        """
        stream_id = session_id
        if self.kept(session_id) is None:
            stream_id = self._newest.get((access_key_id, session_id), session_id)
        return self.readable(stream_id, access_key_id, scope)


def within(scope: Scope, meta: StreamMeta) -> bool:
    """Whether a key of this scope may open and read this stream."""
    return scope.covers(agent_id=meta.agent_id, bot_id=meta.bot_id, user_id=meta.user_id)
