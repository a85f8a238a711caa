"""Bots, access keys, and the tokens that bind a user to a bot. Never a secret, but when made."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scope:
    """What an access key may open and read. None is everything, an empty set is nothing."""

    agents: frozenset[str] | None = None
    bots: frozenset[int] | None = None
    users: frozenset[str] | None = None

    def covers(self, *, agent_id: str, bot_id: int | None, user_id: str) -> bool:
        """Whether a question of this user to this agent's bot is within it.

        A user without a bot is outside of a scope that names bots.
        """
        return (
            (self.agents is None or agent_id in self.agents)
            and (self.bots is None or bot_id in self.bots)
            and (self.users is None or user_id in self.users)
        )


EVERYTHING = Scope()
"""The scope of a key that was given none."""


@dataclass(frozen=True, slots=True)
class BotRecord:
    """A bot as operators see it."""

    bot_id: int
    name: str
    user_id: str | None
    """The user who is bound to it."""
    device_id: str | None
    token_prefix: str
    """The first characters of its token; empty where it was revoked."""
    revoked: bool
    created_at: float
    """Seconds since the epoch, as all moments."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An access key as operators see it."""

    key_id: int
    name: str
    key_prefix: str
    scope: Scope
    created_at: float
    last_used_at: float | None
    """Exact to a minute."""
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class BindingRecord:
    """A token with which a user binds a device to a bot, once."""

    binding_id: int
    bot_id: int
    token_prefix: str
    created_at: float
    expires_at: float
    used_at: float | None
    user_id: str | None
    """Who used it."""
    device_id: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """Something new together with its secret, which is shown this once and kept nowhere."""

    record: BotRecord | KeyRecord | BindingRecord
    secret: str = field(repr=False)
