"""What comes of a binding token that a user shows, and where one was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Redeemed(StrEnum):
    """What came of a token. Only `BOUND` changes anything."""

    BOUND = "bound"
    """The token is used, and its bot answers this user from now on."""
    UNKNOWN = "unknown"
    """No such token was made, or it was deleted."""
    USED = "used"
    EXPIRED = "expired"
    BOT_TAKEN = "bot_taken"
    """Its bot answers another user. The token stays as it is."""
    USER_TAKEN = "user_taken"
    """Another bot answers this user. The token stays as it is."""


@dataclass(frozen=True, slots=True)
class Redemption:
    """What came of one token."""

    result: Redeemed
    bot_id: int | None = None
    """The token's bot, where the token is known."""
    bot_name: str = ""


@dataclass(frozen=True, slots=True)
class BindingContext:
    """Where a user was asked for a photo: the answer comes as the next question of the same."""

    conversation_id: str
    agent_id: str
    access_key_id: int
    user_id: str
