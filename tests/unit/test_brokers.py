from __future__ import annotations

from dataclasses import replace

import pytest

from relay.broker.base import settle
from relay.brokers import LOG_MARGIN_S, open_broker, redis_options
from relay.errors import BrokerUnavailable, SettingsError
from relay.settings import Settings
from tests.support.node import META
from tests.support.ports import free_port
from tests.support.redis import RedisServer, new_prefix, redis_server

__all__ = ["redis_server"]


async def test_without_a_url_the_broker_is_this_process() -> None:
    """It is always there, and alone."""
    async with open_broker(Settings()) as broker:
        await broker.ping()
        assert broker.ports.log.durability == "memory"
        assert broker.ports.cluster.alone


async def test_replicas_of_a_broker_that_has_none_are_refused() -> None:
    """Whoever asks for them believes that an ACK is worth more than it is."""
    with pytest.raises(SettingsError, match="memory:// has no replicas"):
        async with open_broker(replace(Settings(), redis_wait_replicas=1)):
            pass


@pytest.mark.needs("redis-server")
async def test_a_redis_url_opens_redis(redis_server: RedisServer) -> None:
    """What one relay stores there is there for the next."""
    settings = replace(Settings(), broker_url=redis_server.url, redis_prefix=new_prefix())
    async with open_broker(settings) as broker:
        await broker.ping()
        assert broker.ports.log.durability == "redis"
        await settle(broker.ports.log.create(META))
    async with open_broker(settings) as broker:
        state = await settle(broker.ports.log.describe(META.stream_id))
        assert state.meta == META


async def test_a_redis_that_is_not_there_is_named_at_once() -> None:
    """A relay that cannot store anything does not start."""
    settings = replace(Settings(), broker_url=f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable, match="Redis"):
        async with open_broker(settings):
            pass


def test_a_log_outlives_its_stream_and_the_time_that_it_can_be_read() -> None:
    """Redis forgets it only where every node that could has failed to."""
    settings = Settings(stream_max_seconds=100.0, retention_seconds=10.0, redis_wait_replicas=2)
    options = redis_options(settings)
    assert options.stream_ttl_s == 110.0 + LOG_MARGIN_S
    assert (options.prefix, options.wait_replicas, options.wait_s) == ("relay", 2, 1.0)
