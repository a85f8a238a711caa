"""Stand-ins for what lies behind the web layer's ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.web.auth import BotIdentity, KeyIdentity


@dataclass(slots=True)
class FakeDirectory:
    """A `Directory` of dictionaries."""

    tokens: Mapping[str, BotIdentity] = field(default_factory=dict)
    users: Mapping[str, BotIdentity] = field(default_factory=dict)
    keys: Mapping[str, KeyIdentity] = field(default_factory=dict)

    async def bot_by_token(self, token: str) -> BotIdentity | None:
        """The bot of a token."""
        return self.tokens.get(token)

    async def bot_by_user(self, user_id: str) -> BotIdentity | None:
        """The bot of a user."""
        return self.users.get(user_id)

    async def access_key(self, key: str) -> KeyIdentity | None:
        """The identity of a key."""
        return self.keys.get(key)
