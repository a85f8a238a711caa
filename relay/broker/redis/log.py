"""`StreamLog` on Redis: the log of each relay stream is one Redis Stream.

An entry's id is `<offset>-0`
(https://redis.io/docs/latest/develop/data-types/streams/#entry-ids), so reading behind an offset
is a range. Fence, meta data and held chunks lie in hashes beside it, and every change is one
script.

All keys of a stream expire by themselves, long after its node should have dropped it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NoReturn, cast

from relay.broker.base import NO_NOTES, LogSnapshot, LogState, Notes, StreamMeta
from relay.broker.redis.keys import Keys, bucket_of_stream, decode, encode
from relay.broker.redis.nodes import RedisNodes
from relay.broker.redis.pipe import Argument, Reply
from relay.broker.redis.records import (
    meta_arguments,
    note_arguments,
    read_entries,
    read_snapshot,
    read_state,
    readers_of,
)
from relay.broker.redis.scripts import Script, Scripts
from relay.broker.redis.shards import Shards
from relay.broker.redis.watchers import Watchers
from relay.broker.redis.writers import Writers
from relay.errors import BrokerUnavailable, Fenced, OffsetMismatch, StreamExists, UnknownStream
from relay.protocol.events import Entry, HeldChunk

READ_PATIENCE_S = 30.0
"""How long a read waits for a Redis that does not answer: a device outlives its restart."""

READ_RETRY_S = 0.2


class RedisLog:
    """`StreamLog` on one Redis or a cluster of them. Made by `relay.broker.redis.open_redis`."""

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        scripts: Scripts,
        watchers: Watchers,
        writers: Writers,
        nodes: RedisNodes,
        *,
        durability: str,
        ttl_s: float,
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._scripts = scripts
        self._watchers = watchers
        self._writers = writers
        self._nodes = nodes
        self._durability = durability
        self._ttl_ms = round(ttl_s * 1000)

    @property
    def durability(self) -> str:
        """See `StreamLog.durability`. What it survives depends on the server's `appendfsync`."""
        return self._durability

    async def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        """See `StreamLog.create`. Raises `BrokerUnavailable` too."""
        epoch = secrets.token_hex(8)
        described = meta_arguments(meta, epoch, self._nodes.node_id)
        args = [self._ttl_ms, *note_arguments(notes), *described]
        made, *_ = await asyncio.gather(
            self._run(
                meta.stream_id, self._scripts.create, self._writers.made(meta.stream_id), args
            ),
            self._nodes.take_care(meta.stream_id, meta.bot_id),
            self._nodes.remember(meta),
        )
        status, *granted = _list(made)
        if status == b"exists":
            raise StreamExists(meta.stream_id)
        self._watchers.made(meta.stream_id, epoch)
        self._writers.begin(meta.stream_id, encode(self._nodes.node_id), may_hold=False)
        return LogSnapshot(meta, epoch, int(cast("bytes", granted[0])), (), (), dict(notes))

    async def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        """See `StreamLog.claim`. Raises `BrokerUnavailable` too."""
        args: list[Argument] = [self._ttl_ms, self._nodes.node_id, epoch or ""]
        claimed, _ = await asyncio.gather(
            self._run(stream_id, self._scripts.claim, self._writers.keys(stream_id), args),
            self._nodes.take_care(stream_id, None),
        )
        status, *found = _list(claimed)
        if status != b"ok":
            self._unknown(stream_id)
        before, *stored = found
        self._nodes.hand_over(stream_id, decode(cast("bytes", before)))
        snapshot = read_snapshot(*stored)
        self._watchers.found(stream_id, snapshot.epoch, len(snapshot.entries))
        self._writers.begin(stream_id, readers_of(stored[0]), may_hold=bool(snapshot.held))
        return snapshot

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> Awaitable[None]:
        """See `StreamLog.append`. It is on its way when this returns."""
        pending = self._append(stream_id, fence, offset, entries, held, notes)
        return self._appended(stream_id, fence, offset, entries, held, notes, pending)

    def _append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes,
    ) -> asyncio.Future[Reply]:
        keys, args = self._writers.append(stream_id, fence, offset, entries, held, notes)
        pending = self._run(stream_id, self._scripts.append, keys, args)
        # Told from here, because whoever waits for it may be gone when it is done.
        pending.add_done_callback(partial(self._tell, stream_id, entries))
        return pending

    def _tell(self, stream_id: str, entries: Sequence[Entry], done: asyncio.Future[Reply]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._writers.forget(stream_id)
            self._watchers.doubt(stream_id)
        elif done.result() == [b"ok"] and entries:
            self._watchers.announce(stream_id, entries)

    async def _appended(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes,
        pending: Awaitable[Reply],
    ) -> None:
        while True:
            match _list(await pending):
                case [b"ok"]:
                    return
                case [b"readers", bytes(readers)]:
                    self._writers.told(stream_id, readers)
                    pending = self._append(stream_id, fence, offset, entries, held, notes)
                case [b"fenced", bytes(newer)]:
                    self._writers.forget(stream_id)
                    raise Fenced(f"fence {fence} is not {newer.decode()}")
                case [b"offset", bytes(expected)]:
                    raise OffsetMismatch(f"offset {offset} is not {expected.decode()}")
                case _:
                    self._unknown(stream_id)

    async def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Sequence[Entry]:
        """See `StreamLog.read`. Raises `BrokerUnavailable` where Redis is away for long."""
        known = self._watchers.peek(stream_id, after, limit, epoch)
        if known is not None:
            return known
        keys = (self._keys.meta(stream_id), self._keys.log(stream_id))
        args = (f"{after + 1}-0", limit, epoch or "")
        status, *found = _list(await self._patiently(stream_id, self._scripts.read, keys, args))
        if status != b"ok":
            self._unknown(stream_id)
        entries = read_entries(found[0])
        self._watchers.learn(stream_id, entries[-1].offset if entries else 0)
        return entries

    async def describe(self, stream_id: str) -> LogState:
        """See `StreamLog.describe`. Raises `BrokerUnavailable` too."""
        shard = self._shards.of(bucket_of_stream(stream_id))
        keys = (self._keys.meta(stream_id), self._keys.log(stream_id))
        state = read_state(await shard.calls.run(self._scripts.describe, keys, ()))
        if state is None:
            self._unknown(stream_id)
        self._watchers.learn(stream_id, state.next_offset - 1, state.epoch)
        return state

    def watch(self, stream_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `StreamLog.watch`. The stream must have been met here: made, described or read."""
        return self._watchers.watch(stream_id, wake)

    async def drop(self, stream_id: str) -> None:
        """See `StreamLog.drop`. Raises `BrokerUnavailable` too; then the keys expire."""
        self._watchers.forget(stream_id)
        while True:
            keys, args = self._writers.drop(stream_id)
            match _list(await self._run(stream_id, self._scripts.drop, keys, args)):
                case [b"readers", bytes(readers)]:
                    self._writers.told(stream_id, readers)
                case _:
                    break
        self._writers.forget(stream_id)
        self._nodes.forget(stream_id)

    def _run(
        self, stream_id: str, script: Script, keys: Sequence[bytes], args: Sequence[Argument]
    ) -> asyncio.Future[Reply]:
        return self._shards.of(bucket_of_stream(stream_id)).writes.run(script, keys, args)

    async def _patiently(
        self, stream_id: str, script: Script, keys: Sequence[bytes], args: Sequence[Argument]
    ) -> Reply:
        """Run a script that changes nothing, until it is answered."""
        loop = asyncio.get_running_loop()
        until = loop.time() + READ_PATIENCE_S
        while True:
            # Asked anew each time: on a cluster the keys may have moved.
            shard = self._shards.of(bucket_of_stream(stream_id))
            try:
                return await shard.calls.run(script, keys, args)
            except BrokerUnavailable:
                if self._shards.closed or loop.time() >= until:
                    raise
            await asyncio.sleep(READ_RETRY_S)

    def _unknown(self, stream_id: str) -> NoReturn:
        self._watchers.forget(stream_id)
        self._writers.forget(stream_id)
        raise UnknownStream(stream_id)


def _list(reply: Reply) -> list[Reply]:
    return cast("list[Reply]", reply)
