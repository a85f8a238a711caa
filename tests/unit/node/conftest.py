"""A world whose broker answers at once, one whose broker answers later, and several nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.broker.memory import MemoryLog, MemoryMailbox
from tests.support.brokers import DelayedLog, DelayedMailbox
from tests.support.node import World, settle_down
from tests.support.several import Nodes


@pytest.fixture(params=["memory", "delayed"])
async def world(request: pytest.FixtureRequest) -> World:
    """What holds at once must hold across a network too."""
    if request.param == "memory":
        return World()
    return World(DelayedLog(MemoryLog()), DelayedMailbox(MemoryMailbox()))


@pytest.fixture
async def far() -> World:
    """A world whose log is far away; see `DelayedLog` for what can be done to it."""
    return World(DelayedLog(MemoryLog()))


@pytest.fixture
def far_log(far: World) -> DelayedLog:
    """The log of `far`."""
    assert isinstance(far.log, DelayedLog)
    return far.log


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """No node yet."""
    yield Nodes()
    await settle_down()
