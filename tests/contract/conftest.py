"""The suite runs on every broker: one line in `tests.support.brokers.BROKERS` adds another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.broker.base import Broker, CommandMailbox, Presence, StreamLog
from tests.support.brokers import BROKERS
from tests.support.redis import RedisServer, redis_cluster, redis_ports, redis_server

__all__ = ["redis_cluster", "redis_server"]

NEEDS_REDIS = pytest.mark.needs("redis-server")
SERVERS = [
    pytest.param("redis_server", marks=NEEDS_REDIS),
    pytest.param("redis_cluster", marks=NEEDS_REDIS),
]


@pytest.fixture(params=[*BROKERS, *SERVERS])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """A broker of the test's own."""
    name: str = request.param
    if name in BROKERS:
        async with BROKERS[name]() as broker:
            yield broker
        return
    servers: RedisServer | list[RedisServer] = request.getfixturevalue(name)
    url = servers.url if isinstance(servers, RedisServer) else servers[0].url
    async with redis_ports(url) as broker:
        yield broker


@pytest.fixture
def log(broker: Broker) -> StreamLog:
    """Its log."""
    return broker.log


@pytest.fixture
def mailbox(broker: Broker) -> CommandMailbox:
    """Its mailbox."""
    return broker.mailbox


@pytest.fixture
def presence(broker: Broker) -> Presence:
    """Its presence."""
    return broker.presence
