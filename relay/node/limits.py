"""The limits of one stream, as an operator set them."""

from __future__ import annotations

from relay.protocol.limits import Limits
from relay.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """Return the limits of one stream as the settings have them."""
    return Limits(
        barrier_s=settings.barrier_seconds,
        guess_s=settings.guess_seconds,
        gap_s=settings.gap_seconds,
        idle_s=settings.idle_seconds,
        bot_grace_s=settings.bot_grace_seconds,
        stream_max_s=settings.stream_max_seconds,
        window=settings.window,
        held_bytes_max=settings.held_bytes_max,
        stream_bytes_max=settings.stream_bytes_max,
        credit=settings.credit,
    )
