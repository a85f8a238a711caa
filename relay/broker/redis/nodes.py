"""`Cluster` on Redis: which nodes live, who takes care of which stream, who reads elsewhere.

Each node says that it is alive, by the server's clock, and keeps a set of the streams that it has
to take care of. Where a node is silent for too long, others move its streams into their own sets,
so that none is lost if they die in turn. All this lies in one bucket, because it must change at
once. A log's hash names the node that owns it, and that is what counts: what a set says too much
is found out and put right.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import replace
from typing import cast

import structlog

from relay.broker.base import ReadReport, StreamMeta
from relay.broker.redis.hints import CLAIMED, REPORTED, Hints
from relay.broker.redis.keys import NODES, Keys, bucket_of_bot, bucket_of_stream, decode, encode
from relay.broker.redis.records import read_report, write_report
from relay.broker.redis.scripts import Scripts
from relay.broker.redis.shards import Shards
from relay.broker.redis.tasks import end
from relay.errors import BrokerUnavailable

BEATS_PER_TTL = 4
BEAT_RETRY_S = 0.5


class RedisNodes:
    """What one node knows of the others. Made by `relay.broker.redis.open_redis`.

    A node counts as gone when it was silent for `ttl_s`. `forgotten` is called where Redis knows
    nothing of this node any more: it has lost its data, with all connections as they were.
    """

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        scripts: Scripts,
        hints: Hints,
        *,
        node_id: str,
        ttl_s: float,
        stream_ttl_s: float,
        forgotten: Callable[[], None],
    ) -> None:
        self._forgotten = forgotten
        self._shards = shards
        self._keys = keys
        self._scripts = scripts
        self._hints = hints
        self._node_id = node_id
        self._ttl_s = ttl_s
        self._stream_ttl_s = stream_ttl_s
        self._beating: asyncio.Task[None] | None = None
        self._patient_until = 0.0
        """Until then, in seconds of the loop, others may be silent because Redis was away."""
        self._logger = structlog.get_logger("relay.broker.redis")

    @property
    def node_id(self) -> str:
        """See `Cluster.node_id`."""
        return self._node_id

    @property
    def alone(self) -> bool:
        """See `Cluster.alone`: others may come at any time."""
        return False

    async def start(self) -> None:
        """Be alive from now on. Raises `BrokerUnavailable`."""
        await self._beat(self._ttl_s)
        self._beating = asyncio.get_running_loop().create_task(self._go_on(), context=Context())

    async def _go_on(self) -> None:
        pause_s = self._ttl_s / BEATS_PER_TTL
        while True:
            await asyncio.sleep(pause_s)
            try:
                if await self._beat(self._ttl_s):
                    self._forgotten()
            except BrokerUnavailable as error:
                self._logger.warning("redis_sign_of_life_failed", reason=str(error))
                self._patient_until = math.inf
                pause_s = min(BEAT_RETRY_S, self._ttl_s / BEATS_PER_TTL)
            else:
                if self._patient_until == math.inf:
                    self._patient_until = asyncio.get_running_loop().time() + self._ttl_s
                pause_s = self._ttl_s / BEATS_PER_TTL

    async def _beat(self, ttl_s: float) -> bool:
        """Say that this node lives; returns whether Redis did not know of it."""
        args = (self._node_id, round(ttl_s * 1000))
        keys = (self._keys.nodes(),)
        return await self._shards.of(NODES).calls.run(self._scripts.alive, keys, args) == 1

    async def leave(self) -> None:
        """See `Cluster.leave`. Raises `BrokerUnavailable`."""
        await end(self._beating)
        await self._beat(0)

    async def close(self) -> None:
        """Say nothing more."""
        await end(self._beating)

    # --- who takes care of which stream ---------------------------------------------------

    async def streams_of(self, bot_id: int) -> Sequence[str]:
        """See `Cluster.streams_of`. Raises `BrokerUnavailable`."""
        key = self._keys.streams(bot_id)
        calls = self._shards.of(bucket_of_bot(bot_id)).calls
        listed = cast("list[bytes]", await calls.call("ZRANGE", key, 0, -1))
        names = [decode(name) for name in listed]
        ended = await asyncio.gather(*map(self._has_ended, names))
        over = [encode(name) for name, is_over in zip(names, ended, strict=True) if is_over]
        if over:
            calls.tell("ZREM", key, *over)
        return [name for name, is_over in zip(names, ended, strict=True) if not is_over]

    async def _has_ended(self, stream_id: str) -> bool:
        """Whether the log has its end, or is gone."""
        keys = (self._keys.meta(stream_id), self._keys.log(stream_id))
        calls = self._shards.of(bucket_of_stream(stream_id)).calls
        return bool(await calls.run(self._scripts.ended, keys, ()))

    async def take_care(self, stream_id: str, bot_id: int | None) -> None:
        """Note a stream before it is made or claimed here. Raises `BrokerUnavailable`."""
        noted = [self._shards.of(NODES).calls.call("SADD", self._owned(), encode(stream_id))]
        if bot_id is not None:
            key = self._keys.streams(bot_id)
            ttl_ms = round(self._stream_ttl_s * 1000)
            calls = self._shards.of(bucket_of_bot(bot_id)).calls
            noted.append(calls.run(self._scripts.note, (key,), (encode(stream_id), ttl_ms)))
        await asyncio.gather(*noted)

    async def remember(self, meta: StreamMeta) -> None:
        """The stream is the newest of its conversation. Raises `BrokerUnavailable`."""
        bucket, key = self._keys.newest(meta.access_key_id, meta.conversation_id)
        ttl_ms = round(self._stream_ttl_s * 1000)
        calls = self._shards.of(bucket).calls
        await calls.call("SET", key, encode(meta.stream_id), "PX", ttl_ms)

    async def newest(self, access_key_id: int, conversation_id: str) -> str | None:
        """See `Cluster.newest`. Raises `BrokerUnavailable`."""
        bucket, key = self._keys.newest(access_key_id, conversation_id)
        found = await self._shards.of(bucket).calls.call("GET", key)
        return None if found is None else decode(cast("bytes", found))

    async def settled(self, stream_id: str) -> None:
        """See `Cluster.settled`. Raises `BrokerUnavailable`."""
        await self._shards.of(NODES).calls.call("SREM", self._owned(), encode(stream_id))

    def forget(self, stream_id: str) -> None:
        """The log is dropped."""
        self._shards.of(NODES).calls.tell("SREM", self._owned(), encode(stream_id))

    def hand_over(self, stream_id: str, node_id: str) -> None:
        """The stream was claimed here, and this node owned it before."""
        if node_id != self._node_id:
            key = self._keys.owned(node_id)
            self._shards.of(NODES).calls.tell("SREM", key, encode(stream_id))
            self._hints.give(node_id, CLAIMED, stream_id)

    async def orphans(self, limit: int) -> Sequence[str]:
        """See `Cluster.orphans`. Raises `BrokerUnavailable`.

        None while Redis has been away just now: everybody has been silent then.
        """
        if asyncio.get_running_loop().time() < self._patient_until:
            return []
        _, gone = await self._nodes()
        found: list[str] = []
        for node_id in gone:
            if len(found) < limit:
                found += await self._adopt(node_id, limit - len(found))
        return found

    async def _adopt(self, node_id: str, limit: int) -> list[str]:
        keys = (self._keys.nodes(), self._keys.owned(node_id), self._owned())
        calls = self._shards.of(NODES).calls
        taken = await calls.run(self._scripts.adopt, keys, (node_id, limit))
        names = [decode(name) for name in cast("list[bytes]", taken)]
        owners = await asyncio.gather(*map(self._owner_of, names))
        # Asked for last: a node lives before it owns anything.
        alive, _ = await self._nodes()
        orphans = [
            name
            for name, owner in zip(names, owners, strict=True)
            if owner is not None and owner not in alive
        ]
        for name in set(names) - set(orphans):
            # Its log is gone, or somebody has claimed it since.
            calls.tell("SREM", self._owned(), encode(name))
        return orphans

    async def _owner_of(self, stream_id: str) -> str | None:
        calls = self._shards.of(bucket_of_stream(stream_id)).calls
        owner = await calls.call("HGET", self._keys.meta(stream_id), "node")
        return None if owner is None else decode(cast("bytes", owner))

    async def _nodes(self) -> tuple[set[str], list[str]]:
        """Return the nodes that live, and those that are gone."""
        keys = (self._keys.nodes(),)
        reply = await self._shards.of(NODES).calls.run(self._scripts.nodes, keys, ())
        alive, gone = cast("list[list[bytes]]", reply)
        return {decode(node) for node in alive}, [decode(node) for node in gone]

    def _owned(self) -> bytes:
        return self._keys.owned(self._node_id)

    # --- who reads elsewhere --------------------------------------------------------------

    async def report(self, stream_id: str, report: ReadReport) -> None:
        """See `Cluster.report`. Raises `BrokerUnavailable`."""
        keys = (self._keys.meta(stream_id), self._keys.reports(stream_id))
        args = (report.node_id, write_report(report), round(self._stream_ttl_s * 1000))
        calls = self._shards.of(bucket_of_stream(stream_id)).calls
        owner = await calls.run(self._scripts.report, keys, args)
        if owner is not None:
            self._hints.give(decode(cast("bytes", owner)), REPORTED, stream_id)

    async def reports(self, stream_id: str) -> Sequence[ReadReport]:
        """See `Cluster.reports`. Raises `BrokerUnavailable`."""
        calls = self._shards.of(bucket_of_stream(stream_id)).calls
        found = await calls.call("HVALS", self._keys.reports(stream_id))
        reports = [read_report(one) for one in cast("list[bytes]", found)]
        if not reports:
            return ()
        alive, _ = await self._nodes()
        return [one if one.node_id in alive else replace(one, readers=0) for one in reports]

    def on_news(self, *, reported: Callable[[str], None], claimed: Callable[[str], None]) -> None:
        """See `Cluster.on_news`."""
        self._hints.on(REPORTED, reported)
        self._hints.on(CLAIMED, claimed)
