"""redis-py's connections on uvloop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from relay.broker.redis.connections import CONNECTION_CLASSES
from relay.broker.redis.shards import Endpoint
from tests.support.redis import RedisServer

TIMEOUT_S = 10.0


@pytest.mark.needs("redis-server")
def test_a_transport_that_is_closed_is_a_connection_that_broke(redis_server: RedisServer) -> None:
    """What was to be sent has failed, with an error that everybody expects of Redis."""

    async def write_to_what_is_closed() -> None:
        client = Endpoint(redis_server.url).client(reply_timeout_s=TIMEOUT_S)
        async with asyncio.timeout(TIMEOUT_S), client:
            await client.ping()
            pool = client.connection_pool
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            writer = connection._writer  # noqa: SLF001 - what breaks is not ours to break
            assert writer is not None
            writer.transport.abort()
            await writer.wait_closed()
            with pytest.raises(RedisConnectionError, match="broke"):
                await connection.send_packed_command(b"PING")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write_to_what_is_closed())


@pytest.mark.parametrize(
    ("url", "asked_for"),
    [
        ("redis://a", Connection),
        ("rediss://a", SSLConnection),
        ("unix:///a", UnixDomainSocketConnection),
    ],
)
def test_each_way_to_redis_has_one(url: str, asked_for: type[AbstractConnection]) -> None:
    """Its connections are those of redis-py in all else."""
    client = Endpoint(url).client(reply_timeout_s=TIMEOUT_S)
    used = client.connection_pool.connection_class
    assert used is CONNECTION_CLASSES[asked_for]
    assert issubclass(used, asked_for)
