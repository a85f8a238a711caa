from __future__ import annotations

from relay.node.limits import limits_of
from relay.protocol.limits import Limits
from relay.settings import Settings


async def test_limits_are_those_of_the_settings() -> None:
    """Every limit that has a setting, by its own value."""
    settings = Settings(
        barrier_seconds=1.0,
        guess_seconds=2.0,
        gap_seconds=3.0,
        idle_seconds=4.0,
        bot_grace_seconds=5.0,
        stream_max_seconds=6.0,
        window=7,
        held_bytes_max=8,
        stream_bytes_max=9,
        credit=10,
    )
    assert limits_of(settings) == Limits(
        barrier_s=1.0,
        guess_s=2.0,
        gap_s=3.0,
        idle_s=4.0,
        bot_grace_s=5.0,
        stream_max_s=6.0,
        window=7,
        held_bytes_max=8,
        stream_bytes_max=9,
        credit=10,
    )
    assert limits_of(Settings()) == Limits()
