"""The suite runs on every broker: one line in `tests.support.brokers.BROKERS` adds another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.broker.base import Broker, CommandMailbox, Presence, StreamLog
from tests.support.brokers import BROKERS


@pytest.fixture(params=list(BROKERS))
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """A broker of the test's own."""
    async with BROKERS[request.param]() as broker:
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
