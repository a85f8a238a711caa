"""The recorded incident, for tests: the demo's own, so that there is one of it."""

from __future__ import annotations

from relay.demo.incident import ALPHABET, Frame, Turn, load_incident, made_up

__all__ = ["ALPHABET", "Frame", "Turn", "load_incident", "made_up"]
