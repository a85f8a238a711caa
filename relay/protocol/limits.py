"""The limits and waiting times of one stream, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SEQUENCE_MAX: Final = 1_000_000
"""The greatest sequence. A longer answer would be a book; a greater number is a bug."""

CHUNK_BYTES_MAX: Final = 16_384
"""The largest chunk, in bytes of UTF-8."""

CHUNK_COST_BYTES: Final = 64
"""What one chunk is charged beside its content and part, so that empty chunks are not free."""

SHOWN_CHARS_MAX = 2_000
"""How much a bot may have the device show about a failure; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stream may cost and how long it may wait."""

    barrier_s: float = 2.0
    """How long `stream_end` is held for missing sequences."""
    guess_s: float = 0.15
    """How long it is held where n is only guessed: 2.4.0 sends its summary right behind the end."""
    gap_s: float = 8.0
    """How long a gap in mid-stream holds later chunks. Lingzhu is reported to cut at 10 s."""
    idle_s: float = 60.0
    """How long a bot may be silent, per gap between chunks and never in total."""
    bot_grace_s: float = 8.0
    """How long a stream waits for its bot to reconnect."""
    stream_max_s: float = 3600.0
    """How long a stream may last in all: a guard against leaks, not a policy."""
    nack_s: float = 0.5
    """How often a protocol-2 bot is asked again for what is still missing."""
    window: int = 1024
    """How far a sequence may lie ahead of the first missing one."""
    held_bytes_max: int = 256 * 1024
    """How much may wait for a missing chunk."""
    stream_bytes_max: int = 4 * 1024 * 1024
    """How much one answer may hold, at `CHUNK_COST_BYTES` and its content per chunk."""
    credit: int = 256
    """How many chunks a protocol-2 bot may have unacknowledged."""
