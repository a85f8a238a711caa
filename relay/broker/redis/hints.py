"""What nodes tell each other to save time, and may miss: nothing that is true only because of it.

Each node has one stream for hints, of a bounded length. Whoever misses one finds out by itself
later: at a write that is refused, or when it asks anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.broker.redis.keys import NODES, Keys, decode, encode
from relay.broker.redis.reader import START, Record
from relay.broker.redis.readers import Readers
from relay.broker.redis.shards import Shards

HINTS_MAX = 1000
HINTS_TTL_MS = 60_000

CLAIMED = "claimed"
"""A stream is another node's now."""
REPORTED = "reported"
"""Another node has reported what its readers of a stream were handed."""
REPLACED = "replaced"
"""A bot has a newer listener on another node: `<bot> <fence>`."""


class Hints:
    """The hints of this node, and to others."""

    def __init__(self, shards: Shards, keys: Keys, readers: Readers, *, node_id: str) -> None:
        self._shards = shards
        self._keys = keys
        self._readers = readers
        self._node_id = node_id
        self._take: dict[str, Callable[[str], None]] = {}

    def start(self) -> None:
        """Take hints from now on."""
        self._readers.follow(NODES, self._keys.hints(self._node_id), START, self._read)

    def on(self, kind: str, take: Callable[[str], None]) -> None:
        """Call `take` with what each hint of this kind is about."""
        self._take[kind] = take

    def give(self, node_id: str, kind: str, about: str) -> None:
        """Tell another node; not this one, which knows."""
        if node_id != self._node_id:
            key = self._keys.hints(node_id)
            calls = self._shards.of(NODES).calls
            calls.tell("XADD", key, "MAXLEN", "~", HINTS_MAX, "*", kind, encode(about))
            calls.tell("PEXPIRE", key, HINTS_TTL_MS)

    def _read(self, records: Sequence[Record]) -> None:
        for record in records:
            for kind, about in record.fields.items():
                take = self._take.get(decode(kind))
                if take is not None:
                    take(decode(about))
