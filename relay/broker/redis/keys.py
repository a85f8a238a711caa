"""How the keys are called, and which of them lie together.

Every key has a hash tag
(https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags), so that a
cluster keeps all keys of one stream, and all keys of one bot, on one node: a script may touch no
others. The tag is one of `BUCKETS`, not the stream's id: on a cluster an `XREAD` may name keys of
one slot only, and with a slot for each stream every stream would need a connection of its own.
"""

from __future__ import annotations

import zlib

BUCKETS = 128
"""How many hash tags there are. All nodes must agree on it, now and after an update.

It bounds the readers of a node on a cluster, and how many primaries can share the load.
"""

NODES = 0
"""The bucket of what concerns all nodes."""


def bucket_of_stream(stream_id: str) -> int:
    """Return the bucket of a stream's keys."""
    return zlib.crc32(encode(stream_id)) % BUCKETS


def bucket_of_bot(bot_id: int) -> int:
    """Return the bucket of a bot's keys."""
    return bot_id % BUCKETS


def encode(text: str) -> bytes:
    """Return the text as UTF-8. Half of a surrogate pair passes, to be read back as it was."""
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    """Return the text that `encode` wrote."""
    return data.decode("utf-8", "surrogatepass")


class Keys:
    """The names of all keys, for example `relay:{17}:log:5f3a`."""

    def __init__(self, prefix: str, node_id: str) -> None:
        self._prefix = prefix
        self._node_id = node_id

    def _key(self, bucket: int, kind: str, name: str = "") -> bytes:
        # The tag holds the prefix too, or all prefixes would have the same slots.
        key = f"{{{self._prefix}:{bucket}}}:{kind}"
        return encode(f"{key}:{name}" if name else key)

    def meta(self, stream_id: str) -> bytes:
        """Hash: the stream's meta data, epoch and fence."""
        return self._key(bucket_of_stream(stream_id), "meta", stream_id)

    def log(self, stream_id: str) -> bytes:
        """Stream: the entries, each with the id `<offset>-0`."""
        return self._key(bucket_of_stream(stream_id), "log", stream_id)

    def held(self, stream_id: str) -> bytes:
        """Hash: the chunks that arrived early, by their sequences."""
        return self._key(bucket_of_stream(stream_id), "held", stream_id)

    def notes(self, stream_id: str) -> bytes:
        """Hash: what its owners keep beside the log, by its names."""
        return self._key(bucket_of_stream(stream_id), "notes", stream_id)

    def bots(self, bucket: int) -> bytes:
        """Hash: who listens for each bot. See `listen.lua`."""
        return self._key(bucket, "bots")

    def fences(self, bucket: int) -> bytes:
        """Hash: the newest fence of each bot."""
        return self._key(bucket, "fences")

    def mail(self, bucket: int, node_id: str | None = None) -> bytes:
        """Stream: the letters to a node (None: to this one) for its bots of this bucket."""
        return self._key(bucket, "mail", node_id or self._node_id)

    def streams(self, bot_id: int) -> bytes:
        """Sorted set: the streams of a bot, by when they expire."""
        return self._key(bucket_of_bot(bot_id), "streams", str(bot_id))

    def newest(self, access_key_id: int, conversation_id: str) -> tuple[int, bytes]:
        """String: the newest stream of a conversation. Returned with its bucket."""
        name = f"{access_key_id}:{conversation_id}"
        bucket = bucket_of_stream(name)
        return bucket, self._key(bucket, "newest", name)

    def reports(self, stream_id: str) -> bytes:
        """Hash: what the readers of a stream were handed, by their nodes."""
        return self._key(bucket_of_stream(stream_id), "reports", stream_id)

    def nodes(self) -> bytes:
        """Hash: when each node counts as gone, in ms since 1970."""
        return self._key(NODES, "nodes")

    def owned(self, node_id: str) -> bytes:
        """Set: the streams that a node has to take care of."""
        return self._key(NODES, "owned", node_id)

    def hints(self, node_id: str) -> bytes:
        """Stream: what other nodes tell a node."""
        return self._key(NODES, "hints", node_id)

    def bell(self, bucket: int, node_id: str | None = None) -> bytes:
        """Stream: what other nodes append to logs that a node (None: this one) reads."""
        return self._key(bucket, "bell", node_id or self._node_id)
