"""Which Redis a key lies on: the only one, or one of a cluster's primaries.

A cluster is recognised by itself. Its clients must know the map of slots
(https://redis.io/docs/latest/commands/cluster-slots/); it is read again whenever something fails.
A call that goes to the wrong primary is refused there (`MOVED`) and counts as any other failure:
who asked rebuilds itself from the log, and by then the map is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError

from relay.broker.redis.connections import CONNECTION_CLASSES
from relay.broker.redis.keys import BUCKETS, Keys, decode
from relay.broker.redis.pipe import Confirmation, Pipe, describe
from relay.broker.redis.tasks import end
from relay.errors import BrokerUnavailable

CONNECT_TIMEOUT_S = 2.0
REPLY_TIMEOUT_S = 5.0
"""How long a call may take before its outcome counts as unknown."""

MAP_AGE_MIN_S = 0.25
"""How often the map of slots is read at most."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach Redis: a URL, and the address that replaces the URL's on a cluster."""

    url: str

    @property
    def address(self) -> Address:
        """The address that the URL names."""
        options: dict[str, Any] = dict(parse_url(self.url))
        return options.get("host", "localhost"), options.get("port", 6379)

    def client(
        self,
        address: Address | None = None,
        *,
        reply_timeout_s: float,
        connected: Callable[[], None] = lambda: None,
    ) -> Redis:
        """Make a client that retries nothing and has one connection of its own.

        `connected` is called for each new one: a client replaces a broken connection in silence.
        """

        async def connect(connection: Connection) -> None:
            await connection.on_connect()
            connected()

        # redis-py's own stubs know these options only one by one.
        options: dict[str, Any] = dict(parse_url(self.url))
        if address is not None:
            options["host"], options["port"] = address
        asked_for = options.get("connection_class", Connection)
        options |= {
            "connection_class": CONNECTION_CLASSES[asked_for],
            "protocol": 2,
            "redis_connect_func": connect,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "socket_timeout": reply_timeout_s,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 0,
            "decode_responses": False,
            "max_connections": 1,
        }
        if "path" in options:
            del options["socket_keepalive"]
        return Redis.from_pool(ConnectionPool(**options))


@dataclass(frozen=True, slots=True)
class Shard:
    """One Redis that takes writes."""

    address: Address | None
    """None where it is the only one."""
    writes: Pipe
    """For what must be stored; confirmed by the replicas where that is asked for."""
    calls: Pipe
    """For everything else, so that it never waits behind a confirmation."""


class Shards:
    """Every Redis that takes writes, and the map of buckets to them. Made by `open_shards`."""

    def __init__(
        self, endpoint: Endpoint, keys: Keys, *, is_cluster: bool, confirmation: Confirmation | None
    ) -> None:
        self.is_cluster = is_cluster
        self._endpoint = endpoint
        self._confirmation = confirmation
        self._slots = [key_slot(keys.bots(bucket)) for bucket in range(BUCKETS)]
        self._shards: dict[Address | None, Shard] = {}
        self._map: list[Address | None] = [None] * BUCKETS
        self.closed = False
        self._refreshing: asyncio.Task[None] | None = None
        self._logger = structlog.get_logger("relay.broker.redis")

    def of(self, bucket: int) -> Shard:
        """Return the shard of a bucket."""
        address = self._map[bucket]
        shard = self._shards.get(address)
        if shard is None:
            shard = self._shards[address] = Shard(
                address, self._pipe(address, self._confirmation), self._pipe(address, None)
            )
        return shard

    def reader(
        self, bucket: int, connected: Callable[[], None], *, reply_timeout_s: float
    ) -> Redis:
        """Make a client for somebody who blocks while reading a bucket."""
        return self._endpoint.client(
            self._map[bucket], reply_timeout_s=reply_timeout_s, connected=connected
        )

    def troubled(self) -> None:
        """Something failed: the map may be old."""
        if self.is_cluster and self._refreshing is None:
            loop = asyncio.get_running_loop()
            self._refreshing = loop.create_task(self._refresh(), context=Context())

    def _pipe(self, address: Address | None, confirmation: Confirmation | None) -> Pipe:
        waiting_s = confirmation.timeout_s if confirmation is not None else 0.0
        client = self._endpoint.client(address, reply_timeout_s=REPLY_TIMEOUT_S + waiting_s)
        return Pipe(client, troubled=self.troubled, confirmation=confirmation)

    async def _refresh(self) -> None:
        try:
            await self.load_map()
        except BrokerUnavailable as error:
            self._logger.warning("redis_map_unknown", reason=str(error))
        await asyncio.sleep(MAP_AGE_MIN_S)
        self._refreshing = None

    async def load_map(self) -> None:
        """Read the map of slots from whoever answers first. Raises `BrokerUnavailable`."""
        failure: Exception = BrokerUnavailable("Redis: no node of the cluster answers")
        for address in dict.fromkeys([*self._shards, None]):
            client = self._endpoint.client(address, reply_timeout_s=REPLY_TIMEOUT_S)
            try:
                ranges = cast("list[list[Any]]", await _execute(client, "CLUSTER SLOTS"))
            except (RedisError, OSError) as error:
                failure = error
                continue
            finally:
                await client.aclose()
            self._take(ranges, address or self._endpoint.address)
            return
        raise BrokerUnavailable(describe(failure)) from failure

    def _take(self, ranges: list[list[Any]], asked: Address) -> None:
        """Read `[first, last, [host, port, ...], replicas...]` of each range of slots."""
        for bucket, slot in enumerate(self._slots):
            for first, last, (host, port, *_), *_ in ranges:
                if first <= slot <= last:
                    # A node that does not know its own name means the one that it was asked by.
                    self._map[bucket] = (decode(host) if host else asked[0], port)

    async def ping(self) -> None:
        """Ask every shard in use for a sign of life. Raises `BrokerUnavailable`."""
        shards = {id(shard): shard for shard in map(self.of, range(BUCKETS))}
        await asyncio.gather(*(shard.calls.call("PING") for shard in shards.values()))

    async def close(self) -> None:
        """Close every connection."""
        self.closed = True
        await end(self._refreshing)
        for shard in self._shards.values():
            await shard.writes.close()
            await shard.calls.close()


async def open_shards(url: str, keys: Keys, confirmation: Confirmation | None) -> Shards:
    """Connect, and find out what it is that answers. Raises `BrokerUnavailable`."""
    endpoint = Endpoint(url)
    try:
        client = endpoint.client(reply_timeout_s=REPLY_TIMEOUT_S)
        try:
            info = cast("dict[str, Any]", await _execute(client, "INFO"))
        finally:
            await client.aclose()
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(describe(error)) from error
    except (TypeError, ValueError) as error:
        # Its words may quote the URL, and the password in it.
        raise BrokerUnavailable("Redis: this URL cannot be used; correct it") from error
    shards = Shards(endpoint, keys, is_cluster=is_cluster(info), confirmation=confirmation)
    if shards.is_cluster:
        await shards.load_map()
    _warn(info)
    return shards


def is_cluster(info: dict[str, Any]) -> bool:
    """Whether `INFO` is that of a cluster's node.

    Not by `redis_mode`, which Valkey calls `server_mode`.
    """
    return bool(info.get("cluster_enabled"))


def _warn(info: dict[str, Any]) -> None:
    """Say what of this Redis's configuration makes an ACK worth less than its name."""
    logger = structlog.get_logger("relay.broker.redis")
    if not info.get("aof_enabled"):
        logger.warning(
            "redis_loses_on_restart", hint="set appendonly yes, or an ACK is only in memory"
        )
    if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
        logger.warning("redis_evicts", hint="set maxmemory-policy noeviction, or logs vanish")


async def _execute(client: Redis, command: str) -> object:
    return await cast("Awaitable[object]", client.execute_command(command))  # type: ignore[no-untyped-call]
