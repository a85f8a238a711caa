from __future__ import annotations

from tests.support.relays import (
    default_relay,
    fast_path,
    glasses,
    own_relay,
    plain_relay,
    relay,
    seed,
    settings,
    shared_relay,
)

__all__ = [
    "default_relay",
    "fast_path",
    "glasses",
    "own_relay",
    "plain_relay",
    "relay",
    "seed",
    "settings",
    "shared_relay",
]
