"""The broker of several processes: Redis, or Valkey, which is its equal in everything used here.

    async with open_redis("redis://127.0.0.1:6379", RedisOptions()) as broker:
        Node(broker=broker.ports, ...)

What an ACK at this level survives is up to the server: with `appendonly yes`, the kill of its
process (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/). A failover
may lose what no replica has; with `wait_replicas`, an ACK waits for that many (`WAIT`), and the
level is called `redis+wait`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from relay.broker.base import Broker
from relay.broker.redis.hints import Hints
from relay.broker.redis.keys import Keys
from relay.broker.redis.log import RedisLog
from relay.broker.redis.mailbox import RedisMailbox
from relay.broker.redis.nodes import RedisNodes
from relay.broker.redis.pipe import Confirmation
from relay.broker.redis.readers import Readers
from relay.broker.redis.scripts import load_scripts
from relay.broker.redis.shards import Shards, open_shards
from relay.broker.redis.watchers import Watchers
from relay.broker.redis.writers import Writers


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """What can be chosen. Times are seconds."""

    prefix: str = "relay"
    """How all keys begin: several relays may share one Redis."""
    wait_replicas: int = 0
    """How many replicas must have a write before it is acknowledged."""
    wait_s: float = 1.0
    """How long they may take."""
    stream_ttl_s: float = 4_200.0
    """How long after its last write a log that nobody dropped is kept."""
    node_ttl_s: float = 10.0
    """How long after its last sign of life a node counts as alive, and its bots as online."""


@dataclass(frozen=True, slots=True)
class RedisBroker:
    """The ports of one node, and a sign of life."""

    log: RedisLog
    mailbox: RedisMailbox
    nodes: RedisNodes
    shards: Shards

    @property
    def ports(self) -> Broker:
        """What a node is given."""
        return Broker(self.log, self.mailbox, self.mailbox, self.nodes)

    async def ping(self) -> None:
        """Ask for a sign of life. Raises `BrokerUnavailable`."""
        await self.shards.ping()


@asynccontextmanager
async def open_redis(url: str, options: RedisOptions) -> AsyncIterator[RedisBroker]:
    """Connect to the Redis or the cluster at `url`. Raises `BrokerUnavailable`."""
    node_id = secrets.token_hex(8)
    keys = Keys(options.prefix, node_id)
    scripts = load_scripts()
    confirmation = None
    if options.wait_replicas:
        confirmation = Confirmation(options.wait_replicas, options.wait_s)
    shards = await open_shards(url, keys, confirmation)
    ttl_s = options.stream_ttl_s
    readers = Readers(shards, keys, scripts, node_id=node_id, ttl_s=ttl_s)
    hints = Hints(shards, keys, readers, node_id=node_id)
    now = asyncio.get_running_loop().time
    watchers = Watchers(readers, now=now, ttl_s=ttl_s)
    writers = Writers(readers, keys, now=now, ttl_s=ttl_s)
    nodes = RedisNodes(
        shards,
        keys,
        scripts,
        hints,
        node_id=node_id,
        ttl_s=options.node_ttl_s,
        stream_ttl_s=ttl_s,
        forgotten=watchers.doubt_all,
    )
    level = "redis+wait" if confirmation else "redis"
    log = RedisLog(shards, keys, scripts, watchers, writers, nodes, durability=level, ttl_s=ttl_s)
    mailbox = RedisMailbox(
        shards, keys, scripts, readers, hints, node_id=node_id, ttl_s=options.node_ttl_s
    )
    try:
        await nodes.start()
        hints.start()
        yield RedisBroker(log, mailbox, nodes, shards)
    finally:
        await watchers.close()
        await readers.close()
        await mailbox.close()
        await nodes.close()
        await shards.close()
