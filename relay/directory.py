"""The store as the web layer asks it who somebody is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from relay.node.revocations import BotCredential, Findings
from relay.store.models import AccessKey, Bot
from relay.store.remembered import Remembered
from relay.store.scopes import load_scope
from relay.store.secrets import fingerprint
from relay.store.store import Store
from relay.web.auth import BotIdentity, KeyIdentity


class StoreDirectory:
    """The store as the web layer's port. It remembers keys, and which bot answers whom.

    What was looked up is believed until somebody writes: this relay, and on SQLite anybody. On a
    server others write unseen. There it is believed for `for_s` seconds at most, and a key that
    was revoked or narrowed, or a token that was replaced, only until the next look at what is in
    use: for that, this is a `Holder` of both.
    """

    __slots__ = ("_bots", "_keys", "_store", "_tokens")

    def __init__(self, store: Store, *, for_s: float, now: Callable[[], float]) -> None:
        def version() -> tuple[int, ...]:
            return store.version

        self._store = store
        self._keys: Remembered[KeyIdentity] = Remembered(for_s=for_s, now=now, version=version)
        self._bots: Remembered[BotIdentity] = Remembered(for_s=for_s, now=now, version=version)
        self._tokens: Remembered[BotIdentity] = Remembered(for_s=for_s, now=now, version=version)

    async def bot_by_token(self, token: str) -> BotIdentity | None:
        """See `Directory.bot_by_token`."""
        return await self._tokens.get(fingerprint(token).hash, partial(self._find_token, token))

    async def bot_by_user(self, user_id: str) -> BotIdentity | None:
        """See `Directory.bot_by_user`."""
        return await self._bots.get(user_id, partial(self._find_bot, user_id))

    async def access_key(self, key: str) -> KeyIdentity | None:
        """See `Directory.access_key`."""
        found = await self._keys.get(fingerprint(key).hash, partial(self._find_key, key))
        if found is not None:
            self._store.access_key_used(found.key_id)
        return found

    def keys_in_use(self) -> Iterable[int]:
        """See `Holder.keys_in_use`."""
        return {key.key_id for key in self._keys.values()}

    def bots_in_use(self) -> frozenset[BotCredential]:
        """See `Holder.bots_in_use`."""
        return frozenset(BotCredential(bot.bot_id, bot.credential) for bot in self._tokens.values())

    def enforce(self, findings: Findings) -> None:
        """See `Holder.enforce`. Where one key is not what it was, all are looked up anew."""
        if any(
            key.key_id in findings.keys and findings.keys[key.key_id] != key.scope
            for key in self._keys.values()
        ):
            self._keys.forget()
        if not findings.void_bots.isdisjoint(self.bots_in_use()):
            self._tokens.forget()

    async def _find_token(self, token: str) -> BotIdentity | None:
        return _bot(await self._store.bot_by_token(token))

    async def _find_bot(self, user_id: str) -> BotIdentity | None:
        return _bot(await self._store.bot_by_user(user_id))

    async def _find_key(self, key: str) -> KeyIdentity | None:
        return _key(await self._store.access_key_by_key(key))


def _bot(bot: Bot | None) -> BotIdentity | None:
    return None if bot is None or bot.id is None else BotIdentity(bot.id, bot.name, bot.token_hash)


def _key(key: AccessKey | None) -> KeyIdentity | None:
    if key is None or key.id is None:
        return None
    return KeyIdentity(key.id, key.name, load_scope(key.scope))
