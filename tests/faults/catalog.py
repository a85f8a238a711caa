"""All scenarios, in the order of the fault matrix."""

from __future__ import annotations

from tests.faults.rows import bots, clocks, floods, kills, nodes, readers, redis, stores, weather
from tests.faults.scenario import Scenario

ALL: tuple[Scenario, ...] = (
    *weather.SCENARIOS,
    *bots.SCENARIOS,
    *kills.SCENARIOS,
    *redis.SCENARIOS,
    *stores.SCENARIOS,
    *readers.SCENARIOS,
    *clocks.SCENARIOS,
    *floods.SCENARIOS,
    *nodes.SCENARIOS,
)
