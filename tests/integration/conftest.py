from __future__ import annotations

from tests.support.relays import glasses, own_relay, relay, seed, settings, shared_relay

__all__ = ["glasses", "own_relay", "relay", "seed", "settings", "shared_relay"]
