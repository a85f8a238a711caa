"""The store as the web layer asks it who somebody is."""

from __future__ import annotations

from relay.store.models import AccessKey, Bot
from relay.store.scopes import load_scope
from relay.store.store import Store
from relay.web.auth import BotIdentity, KeyIdentity


class StoreDirectory:
    """The store as the web layer's port."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def bot_by_token(self, token: str) -> BotIdentity | None:
        """See `Directory.bot_by_token`."""
        return _bot(await self._store.bot_by_token(token))

    async def bot_by_user(self, user_id: str) -> BotIdentity | None:
        """See `Directory.bot_by_user`."""
        return _bot(await self._store.bot_by_user(user_id))

    async def access_key(self, key: str) -> KeyIdentity | None:
        """See `Directory.access_key`."""
        return _key(await self._store.access_key_by_key(key))


def _bot(bot: Bot | None) -> BotIdentity | None:
    return None if bot is None or bot.id is None else BotIdentity(bot.id, bot.name, bot.token_hash)


def _key(key: AccessKey | None) -> KeyIdentity | None:
    if key is None or key.id is None:
        return None
    return KeyIdentity(key.id, key.name, load_scope(key.scope))
