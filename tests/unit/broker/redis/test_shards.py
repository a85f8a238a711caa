from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.crc import key_slot

from relay.broker.redis import open_redis
from relay.broker.redis.keys import BUCKETS, Keys
from relay.broker.redis.shards import Endpoint, Shards, is_cluster, open_shards
from relay.errors import BrokerUnavailable
from tests.support.node import META
from tests.support.ports import free_port
from tests.support.redis import RedisServer, new_prefix, options, running_redis

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10


@asynccontextmanager
async def some_shards(url: str) -> AsyncIterator[tuple[Shards, Keys]]:
    """Every Redis behind a URL."""
    keys = Keys(new_prefix(), "here")
    shards = await open_shards(url, keys, None)
    try:
        yield shards, keys
    finally:
        await shards.close()


async def test_one_redis_has_all_buckets(redis_server: RedisServer) -> None:
    """With two connections: a write that waits for replicas holds up nothing else."""
    async with some_shards(redis_server.url) as (shards, _):
        assert not shards.is_cluster
        assert len({id(shards.of(bucket)) for bucket in range(BUCKETS)}) == 1
        assert shards.of(0).writes is not shards.of(0).calls
        await shards.ping()


def test_a_cluster_of_valkey_is_one() -> None:
    """Valkey 8 says `server_mode` where Redis says `redis_mode`; both say `cluster_enabled`."""
    assert is_cluster({"server_mode": "cluster", "cluster_enabled": 1})
    assert not is_cluster({"redis_mode": "standalone", "cluster_enabled": 0})


async def test_the_primaries_of_a_cluster_share_the_buckets(
    redis_cluster: list[RedisServer],
) -> None:
    """Any of them can be named, and each takes the keys of its own buckets."""
    for node in redis_cluster:
        async with some_shards(node.url) as (shards, keys):
            assert shards.is_cluster
            ports = [(shards.of(bucket).address or ("", 0))[1] for bucket in range(BUCKETS)]
            assert set(ports) == {node.port for node in redis_cluster}
            for bucket in range(BUCKETS):
                assert await shards.of(bucket).calls.call("EXISTS", keys.bots(bucket)) == 0
            await shards.ping()


async def test_a_slot_that_moves_is_found_again(redis_cluster: list[RedisServer]) -> None:
    """One call fails, because nobody knows more then; the next ones go to the new primary."""
    async with some_shards(redis_cluster[0].url) as (shards, keys):
        slot = str(key_slot(keys.bots(3)))
        before = next(n for n in redis_cluster if n.port == (shards.of(3).address or ("", 0))[1])
        after = next(node for node in redis_cluster if node is not before)
        await shards.of(3).calls.call("EXISTS", keys.bots(3))
        try:
            for node in (after, before):
                node.command("CLUSTER", "SETSLOT", slot, "NODE", after.command("CLUSTER", "MYID"))
            with pytest.raises(BrokerUnavailable, match="Moved"):
                await shards.of(3).calls.call("EXISTS", keys.bots(3))
            async with asyncio.timeout(TIMEOUT_S):
                while (shards.of(3).address or ("", 0))[1] != after.port:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
            assert await shards.of(3).calls.call("EXISTS", keys.bots(3)) == 0
        finally:
            for node in (before, after):
                node.command("CLUSTER", "SETSLOT", slot, "NODE", before.command("CLUSTER", "MYID"))


async def test_a_redis_that_is_away_is_named() -> None:
    """At the start and later; the password is not."""
    keys = Keys(new_prefix(), "here")
    with pytest.raises(BrokerUnavailable, match="Redis: ConnectionError") as caught:
        await open_shards(f"redis://:canary@127.0.0.1:{free_port()}", keys, None)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:canary@h:port", "redis://:canary@h/0?canary=1"])
async def test_a_url_that_cannot_be_used_is_said(url: str) -> None:
    """In one line without its password, not as a bug."""
    with pytest.raises(BrokerUnavailable, match="URL") as caught:
        await open_shards(url, Keys(new_prefix(), "here"), None)
    assert "canary" not in str(caught.value)


async def test_a_ping_fails_while_redis_is_away(own_redis: RedisServer) -> None:
    """And succeeds as soon as it is back."""
    async with some_shards(own_redis.url) as (shards, _):
        await shards.ping()
        own_redis.kill()
        with pytest.raises(BrokerUnavailable):
            await shards.ping()
        own_redis.start()
        await shards.ping()


async def test_a_replica_is_no_broker(own_redis: RedisServer, tmp_path: Path) -> None:
    """It says READONLY, and that is the same as not being there."""
    master = ("--replicaof", f"127.0.0.1 {own_redis.port}")
    with (
        running_redis(tmp_path / "replica", *master) as replica,
        pytest.raises(BrokerUnavailable, match="ReadOnly"),
    ):
        async with open_redis(replica.url, options()):
            pass


async def test_redis_is_reached_by_a_unix_socket_and_with_a_password(tmp_path: Path) -> None:
    """As its URL says."""
    sock = str(tmp_path / "s")
    with running_redis(tmp_path / "redis", "--unixsocket", sock) as server:
        server.command("CONFIG", "SET", "requirepass", "secret")
        async with open_redis(f"unix://:secret@{sock}", options()) as broker:
            await broker.log.create(META)
            await broker.ping()
        with pytest.raises(BrokerUnavailable, match="Authentication"):
            async with open_redis(f"unix://{sock}", options()):
                pass


def test_the_address_of_a_url_has_defaults() -> None:
    """Those of Redis."""
    assert Endpoint("redis://h:7000/0").address == ("h", 7000)
    assert Endpoint("redis://").address == ("localhost", 6379)


@pytest.mark.parametrize(
    ("aof", "policy", "warned"),
    [
        ("yes", "noeviction", set()),
        ("no", "noeviction", {"redis_loses_on_restart"}),
        ("yes", "allkeys-lru", {"redis_evicts"}),
    ],
)
async def test_a_configuration_that_loses_what_was_acknowledged_is_said(
    own_redis: RedisServer,
    capsys: pytest.CaptureFixture[str],
    aof: str,
    policy: str,
    warned: set[str],
) -> None:
    """Once, at the start."""
    own_redis.command("CONFIG", "SET", "appendonly", aof)
    own_redis.command("CONFIG", "SET", "maxmemory", "100mb")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", policy)
    async with some_shards(own_redis.url):
        said = capsys.readouterr().out
    assert {name for name in ("redis_loses_on_restart", "redis_evicts") if name in said} == warned
