"""The readers of one node, and the bells by which it hears of logs that other nodes write.

Each log's hash names the nodes that read it, and every append rings their bells: it adds the
entries to a stream of each such node. So a node blocks in one `XREAD` of a few keys, however many
logs it reads, and what no other node reads rings no bell. A bell keeps the newest entries only; a
node that finds it full may have missed some, and asks for all of its logs anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from relay.broker.redis.keys import Keys, bucket_of_stream
from relay.broker.redis.pipe import Reply
from relay.broker.redis.reader import BELL_LENGTH, REPLY_TIMEOUT_S, Deliver, Reader, Record
from relay.broker.redis.scripts import Scripts
from relay.broker.redis.shards import Shards


@dataclass(frozen=True, slots=True)
class Joined:
    """Where a log stands at the moment from which on this node's bell is rung."""

    epoch: bytes
    stored: int
    """The last offset that rang no bell."""


Ring = Callable[[int, Sequence[Record]], None]
"""Takes a group of buckets and what rang there; nothing at all: some of it may be lost."""


class Readers:
    """Follows streams in any bucket.

    One Redis serves all of them in one `XREAD`. On a cluster a command may name keys of one slot
    only, so there each bucket that something is followed in has a reader, and a connection, of
    its own.

    `ttl_s`: how long a bell outlives the last append to a log that its node reads.
    """

    def __init__(
        self, shards: Shards, keys: Keys, scripts: Scripts, *, node_id: str, ttl_s: float
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._scripts = scripts
        self._node_id = node_id
        self._ttl_ms = round(ttl_s * 1000)
        self._readers: dict[int, Reader] = {}
        self._ring: Ring | None = None

    def group(self, bucket: int) -> int:
        """Return the bucket in which this bucket's bells and letters lie: one where that can be."""
        return bucket if self._shards.is_cluster else 0

    def on_ring(self, ring: Ring) -> None:
        """Call `ring` with what is added to this node's bells."""
        self._ring = ring

    def follow(self, bucket: int, key: bytes, after: bytes, deliver: Deliver) -> Callable[[], None]:
        """See `Reader.follow`."""
        return self._reader(self.group(bucket)).follow(key, after, deliver)

    def listen(self, bucket: int) -> None:
        """Hear the bell of this bucket from now on."""
        self._reader(self.group(bucket))

    def _reader(self, group: int) -> Reader:
        reader = self._readers.get(group)
        if reader is None:
            reader = self._readers[group] = Reader(
                bell=self._keys.bell(group),
                rung=partial(self._rung, group),
                connect=partial(self._shards.reader, group, reply_timeout_s=REPLY_TIMEOUT_S),
                wake=partial(self._wake, group),
                troubled=self._shards.troubled,
            )
        return reader

    def _rung(self, group: int, records: Sequence[Record]) -> None:
        if self._ring is not None:
            self._ring(group, records)

    def _wake(self, group: int) -> None:
        """Interrupt a reader. Where that fails, it only goes on later with what it reads."""
        key = self._keys.bell(group)
        calls = self._shards.of(group).calls
        calls.tell("XADD", key, "MAXLEN", "~", BELL_LENGTH, "*", "wake", 1)
        calls.tell("PEXPIRE", key, self._ttl_ms)

    # --- who reads which log ---------------------------------------------------------------

    def bell(self, stream_id: str) -> bytes:
        """Return this node's bell for a log."""
        return self._keys.bell(self.group(bucket_of_stream(stream_id)))

    def bells(self, stream_id: str, nodes: Sequence[str]) -> list[bytes]:
        """Return the bells of these nodes, but for this one's, which knows what it writes."""
        group = self.group(bucket_of_stream(stream_id))
        return [self._keys.bell(group, node) for node in nodes if node != self._node_id]

    async def join(self, stream_id: str) -> Joined | None:
        """Let every append to this log ring from now on; None where there is no such log.

        Raises `BrokerUnavailable`.
        """
        keys = (self._keys.meta(stream_id), self._keys.log(stream_id), self.bell(stream_id))
        args = (self._node_id, self._ttl_ms)
        calls = self._shards.of(bucket_of_stream(stream_id)).calls
        status, *found = cast("list[Reply]", await calls.run(self._scripts.follow, keys, args))
        if status != b"ok":
            return None
        epoch, stored = cast("tuple[bytes, int]", found)
        return Joined(epoch, stored)

    async def leave(self, stream_id: str) -> None:
        """Ring no more for this log. Raises `BrokerUnavailable`."""
        keys = (self._keys.meta(stream_id),)
        calls = self._shards.of(bucket_of_stream(stream_id)).calls
        await calls.run(self._scripts.unfollow, keys, (self._node_id,))

    async def close(self) -> None:
        """Stop all of them."""
        await asyncio.gather(*(reader.close() for reader in self._readers.values()))
