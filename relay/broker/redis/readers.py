"""The readers of one node: a single one, or one for each bucket on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relay.broker.redis.keys import Keys
from relay.broker.redis.reader import REPLY_TIMEOUT_S, Deliver, Reader
from relay.broker.redis.shards import Shards

WAKE_TTL_MS = 60_000


class Readers:
    """Follows streams in any bucket.

    One Redis serves all of them in one `XREAD`. On a cluster a command may name keys of one slot
    only, so there each bucket that something is followed in has a reader, and a connection, of
    its own.
    """

    def __init__(self, shards: Shards, keys: Keys) -> None:
        self._shards = shards
        self._keys = keys
        self._readers: dict[int, Reader] = {}

    def follow(self, bucket: int, key: bytes, after: bytes, deliver: Deliver) -> Callable[[], None]:
        """See `Reader.follow`."""
        group = bucket if self._shards.is_cluster else 0
        reader = self._readers.get(group)
        if reader is None:
            reader = self._readers[group] = Reader(
                wake_key=self._keys.wake(group),
                connect=partial(self._shards.reader, group, reply_timeout_s=REPLY_TIMEOUT_S),
                wake=partial(self._wake, group),
                troubled=self._shards.troubled,
            )
        return reader.follow(key, after, deliver)

    def _wake(self, group: int) -> None:
        """Interrupt a reader. Where that fails, it only goes on later with what it reads."""
        key = self._keys.wake(group)
        calls = self._shards.of(group).calls
        calls.tell("XADD", key, "MAXLEN", 1, "*", "wake", 1)
        calls.tell("PEXPIRE", key, WAKE_TTL_MS)

    async def close(self) -> None:
        """Stop all of them."""
        for reader in self._readers.values():
            await reader.close()
