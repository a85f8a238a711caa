"""What a node looks after every second."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from relay.clock import ManualClock
from relay.errors import BrokerUnavailable
from tests.support.cluster import MemoryNodes
from tests.support.node import NOW, Timers, World, settle_down


def a_node(shared: MemoryNodes, node_id: str, timers: Timers) -> World:
    """One of several nodes on one clock."""
    broker = shared.node(node_id)
    return World(broker, broker, cluster=broker, timers=timers)


async def test_a_node_that_is_alone_looks_after_nothing() -> None:
    """With the memory broker no timer runs for it."""
    assert World().timers.armed == []


async def test_a_broker_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left behind meanwhile is found in the round after."""
    shared, timers = MemoryNodes(), Timers(ManualClock(NOW))
    left = a_node(shared, "left", timers)
    broker = shared.node("here")
    here = World(broker, broker, cluster=broker, timers=timers)
    await left.bot()
    await left.ask()
    shared.kill("left")
    orphans, asked = broker.orphans, list[float]()

    async def away_once(limit: int) -> Sequence[str]:
        asked.append(timers.clock.now())
        if len(asked) == 1:
            raise BrokerUnavailable("away")
        return await orphans(limit)

    monkeypatch.setattr(broker, "orphans", away_once)
    await here.advance(1.0)
    assert here.node.open_streams == 0
    await here.advance(1.0)
    assert here.node.open_streams == 1
    await settle_down()


async def test_a_node_that_drains_takes_nothing_more() -> None:
    """It would only have to be taken from it again."""
    shared, timers = MemoryNodes(), Timers(ManualClock(NOW))
    left, here = a_node(shared, "left", timers), a_node(shared, "here", timers)
    await left.bot()
    await left.ask()
    await here.node.hand_over()
    await here.node.drain()
    shared.kill("left")
    await here.advance(5.0)
    assert here.node.open_streams == 0
