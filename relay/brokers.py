"""Opens the broker that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.broker.base import Broker
from relay.broker.memory import memory_broker
from relay.errors import SettingsError
from relay.settings import Settings

if TYPE_CHECKING:
    from relay.broker.redis import RedisOptions

LOG_MARGIN_S = 300.0
"""How much longer than its node a log is kept where nobody drops it."""


@dataclass(frozen=True, slots=True)
class OpenBroker:
    """A broker's ports, and a way to ask whether it is there."""

    ports: Broker
    ping: Callable[[], Awaitable[None]]
    """Raises `BrokerUnavailable`."""


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[OpenBroker]:
    """Open the broker, and close it in the end.

    Raises `BrokerUnavailable` where none answers, `SettingsError` where it cannot do what is asked.
    """
    if settings.broker_url == "memory://":
        if settings.redis_wait_replicas:
            raise SettingsError(
                "RELAY_REDIS_WAIT_REPLICAS",
                str(settings.redis_wait_replicas),
                "0, because memory:// has no replicas; or RELAY_BROKER_URL=redis://HOST:PORT",
            )
        yield OpenBroker(memory_broker(), _is_there)
        return
    # Importing the client takes longer than all else of a start, and most relays need none.
    from relay.broker.redis import open_redis  # noqa: PLC0415

    async with open_redis(settings.broker_url, redis_options(settings)) as broker:
        yield OpenBroker(broker.ports, broker.ping)


def redis_options(settings: Settings) -> RedisOptions:
    """Return what the settings say about Redis."""
    from relay.broker.redis import RedisOptions  # noqa: PLC0415 - as above

    kept_s = settings.stream_max_seconds + settings.retention_seconds
    return RedisOptions(
        prefix=settings.redis_prefix,
        wait_replicas=settings.redis_wait_replicas,
        wait_s=settings.redis_wait_seconds,
        stream_ttl_s=kept_s + LOG_MARGIN_S,
    )


async def _is_there() -> None:
    """The memory broker is there for as long as its process is."""
