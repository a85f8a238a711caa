from __future__ import annotations

from tests.support.relays import (
    default_relay,
    glasses,
    own_relay,
    relay,
    seed,
    settings,
    shared_relay,
)

__all__ = ["default_relay", "glasses", "own_relay", "relay", "seed", "settings", "shared_relay"]
