"""The limits of callers are those of the settings."""

from __future__ import annotations

from relay.limits.allowance import Allowance, allowance_of
from relay.settings import Settings


def test_each_limit_is_its_own_setting() -> None:
    """Every one by a value of its own, so that none is mistaken for another."""
    settings = Settings(
        connections_max=1,
        connections_per_address=2,
        connections_per_key=3,
        connections_per_bot=4,
        requests_per_address=5,
        asks_per_key=6,
        messages_per_key=7,
        bytes_per_key=8,
        messages_per_address=9,
        bytes_per_address=10,
        commands_per_connection=11,
        trusted_proxies=("10.0.0.0/8",),
    )
    assert allowance_of(settings) == Allowance(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ("10.0.0.0/8",))


def test_the_defaults_let_one_address_have_half_of_the_relay() -> None:
    """Else one that is not behind a proxy could keep everybody out."""
    defaults = allowance_of(Settings())
    assert 0 < defaults.connections_per_address <= defaults.connections // 2
