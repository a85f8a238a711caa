"""Who may connect at all."""

from __future__ import annotations

from structlog.testing import capture_logs

from relay.limits.allowance import Allowance
from relay.limits.door import SPARE, Door
from relay.limits.refusal import Limit, Refusal


def test_an_address_has_so_many_connections_and_another_has_its_own() -> None:
    """A place is free once a connection left, however often that is said."""
    door = Door(Allowance(connections_per_address=2))
    assert [door.enter(n, "192.0.2.1", 0.0) for n in range(2)] == [None, None]
    with capture_logs() as logs:
        assert door.enter(2, "192.0.2.1", 0.0) == Refusal(Limit.CONNECTIONS_PER_ADDRESS)
    assert [(line["event"], line["address"]) for line in logs] == [("limit_reached", "192.0.2.1")]
    assert door.enter(3, "192.0.2.2", 0.0) is None
    door.leave(2)
    door.leave(0)
    door.leave(0)
    assert door.enter(4, "192.0.2.1", 0.0) is None
    with capture_logs():
        assert door.enter(5, "192.0.2.1", 0.0) is not None
    assert len(door) == 3


def test_the_relay_has_spare_places_for_who_looks_after_it() -> None:
    """A health check gets in while every place of a device and a bot is taken, up to an end."""
    door = Door(Allowance(connections=1))
    assert all(door.enter(n, f"192.0.2.{n % 250}", 0.0) is None for n in range(1 + SPARE))
    with capture_logs():
        assert door.enter("one more", "192.0.2.1", 0.0) == Refusal(Limit.CONNECTIONS)


def test_a_trusted_proxy_may_have_all_places() -> None:
    """Those behind it are counted by what it says of them."""
    door = Door(Allowance(connections_per_address=1, trusted_proxies=("10.0.0.0/8",)))
    assert all(door.enter(n, "10.0.0.1", 0.0) is None for n in range(100))


def test_without_limits_everybody_enters() -> None:
    """And is counted all the same."""
    door = Door(Allowance())
    assert all(door.enter(n, "192.0.2.1", 0.0) is None for n in range(5_000))
    assert len(door) == 5_000


def test_those_who_are_turned_away_are_a_crowd_at_some_point() -> None:
    """Who left is none of them any more."""
    door = Door(Allowance(connections_per_address=1))
    with capture_logs():
        for number in range(SPARE + 2):
            assert not door.crowded
            door.enter(number, "192.0.2.1", 0.0)
    assert door.crowded
    door.leave(SPARE + 1)
    assert not door.crowded


def test_who_was_cut_for_a_flood_is_told_of() -> None:
    """As one that said too much, by its address: who it was it had not said, or nobody asked."""
    with capture_logs() as logs:
        Door(Allowance()).flooded("192.0.2.1", 0.0)
    assert [(line["limit"], line["kind"], line["address"]) for line in logs] == [
        ("commands_per_connection", "connection", "192.0.2.1")
    ]
