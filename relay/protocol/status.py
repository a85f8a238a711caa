"""How far a stream has come, and how it ended.

Status only climbs: `max(old, new)` is the whole transition table, so no late or
repeated message can bring a finished stream back to life, and a failure, once
recorded, dominates everything else.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Status(IntEnum):
    """The stages of a stream, in the only order in which they can follow each other."""

    PENDING = 0
    """Opened; the bot has been asked and has not sent a chunk yet."""
    ACTIVE = 1
    """At least one chunk was accepted."""
    ENDING = 2
    """`stream_end` arrived; the end barrier holds the device's stream open."""
    COMPLETED = 3
    """Ended with every sequence delivered."""
    ANOMALY = 4
    """Ended with a loss, a failure or a disagreement. Any loss, of even one chunk, is one."""

    @property
    def label(self) -> str:
        """The name used in the trace, for example `"completed"`."""
        return self.name.lower()


class Outcome(StrEnum):
    """Why a stream ended. Written into its `end` entry and told to the bot in `stream_closed`."""

    COMPLETED = "completed"
    """Every sequence arrived."""
    REPAIRED = "repaired"
    """Chunks were lost; a summary that agreed in count, hash and prefix supplied the text."""
    INCOMPLETE = "incomplete"
    """The barrier's deadline passed with sequences missing."""
    FAILED = "failed"
    """The bot sent `stream_error`."""
    IDLE = "idle"
    """No chunk for the idle limit."""
    BOT_GONE = "bot_gone"
    """The bot's connection broke and it did not come back within the grace."""
    BOT_OFFLINE = "bot_offline"
    """The bot was not connected when the device asked."""
    UNBOUND = "unbound"
    """No bot belongs to the user who asked."""
    BOUND = "bound"
    """The user showed a binding token, and a bot answers from the next question on."""
    CANCELLED = "cancelled"
    """The device went away, or the stream reached a limit of the relay."""
    LOST = "lost"
    """The relay lost this stream's state; nothing more can be said about it."""
