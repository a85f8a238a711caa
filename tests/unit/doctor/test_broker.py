from __future__ import annotations

import pytest

from relay.doctor.broker import judge_redis, judge_replicas, look_at_broker
from relay.doctor.finding import Level

GOOD = {
    "redis_version": "7.0.15",
    "role": "master",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "used_memory": "1000000",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
}


async def test_the_memory_broker_is_told_for_what_it_is() -> None:
    """Nothing is wrong with it, and what a restart costs is said."""
    (finding,) = await look_at_broker("memory://")
    assert finding.level is Level.OK
    assert "restart" in finding.what


@pytest.mark.parametrize("url", ["redis://:hidden@127.0.0.1:1", "redis://127.0.0.1:port"])
async def test_a_broker_that_does_not_answer_is_told(url: str) -> None:
    """With its address, and without its password."""
    (finding,) = await look_at_broker(url)
    assert finding.level is Level.FAIL
    assert "127.0.0.1" in finding.what
    assert "hidden" not in finding.what


def test_a_redis_as_it_should_be_is_fine() -> None:
    """It answers, evicts nothing and keeps what it took."""
    assert {finding.level for finding in judge_redis(GOOD, 0.001)} == {Level.OK}
    assert {f.level for f in judge_redis(GOOD | {"maxmemory": "9000000"}, 0.001)} == {Level.OK}


@pytest.mark.parametrize(
    ("given", "level", "mend"),
    [
        ({"redis_version": "5.0.7"}, Level.FAIL, "6.2 or newer"),
        ({"role": "slave"}, Level.FAIL, "primary"),
        (
            {"maxmemory": "9000000", "maxmemory_policy": "allkeys-lru"},
            Level.FAIL,
            "maxmemory-policy noeviction",
        ),
        ({"maxmemory": "1100000"}, Level.WARN, "raise maxmemory"),
        ({"aof_enabled": "0"}, Level.WARN, "appendonly yes"),
        ({"aof_last_write_status": "err"}, Level.FAIL, "disk"),
    ],
)
def test_a_redis_that_may_lose_something_is_told(
    given: dict[str, str], level: Level, mend: str
) -> None:
    """One finding, which says what to set."""
    (finding,) = [f for f in judge_redis(GOOD | given, 0.001) if f.level is not Level.OK]
    assert finding.level is level
    assert mend in finding.mend


def test_replicas_that_an_ack_waits_for_must_be_there() -> None:
    """Enough, too few; and in a cluster not all was seen."""
    assert judge_replicas(GOOD, 0) == []
    assert judge_replicas(GOOD | {"connected_slaves": "2"}, 2) == []
    (few,) = judge_replicas(GOOD | {"connected_slaves": "1"}, 2)
    assert (few.level, "RELAY_REDIS_WAIT_REPLICAS" in few.mend) == (Level.FAIL, True)
    (cluster,) = judge_replicas(GOOD | {"redis_mode": "cluster"}, 0)
    assert cluster.level is Level.SKIP


def test_a_slow_redis_is_told() -> None:
    """Every chunk waits for it."""
    assert judge_redis(GOOD, 0.05)[0].level is Level.WARN


def test_what_a_redis_does_not_say_is_not_guessed() -> None:
    """A service of somebody else's may hide its configuration."""
    levels = [finding.level for finding in judge_redis({}, 0.001)]
    assert levels == [Level.OK, Level.SKIP, Level.SKIP]
