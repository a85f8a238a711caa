"""Streams that are open just now, as operators see them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveStream:
    """One open stream at one moment."""

    stream_id: str
    trace_id: str
    message_id: str
    agent_id: str
    user_id: str
    bot_id: int | None
    access_key_id: int
    sdk_version: str
    protocol: int
    status: str
    """`pending`, `active`, `ending`, `completed` or `anomaly`."""
    opened_at: float
    """Seconds since the epoch."""
    age_s: float
    received: int
    """Chunks that arrived."""
    delivered: int
    """Log entries that were handed to a device."""
    stored: int
    """Log entries that there are."""
    held: int
    """Early chunks that wait for a missing one."""
    missing: int
    """Sequences that are not here, of all that the bot sent as far as is known by now."""
    readers: int
    """Devices that read it."""
    bot_connected: bool
