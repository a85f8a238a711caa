"""Bots and access keys as operators keep them. `PeopleDesk` lists, makes, changes and ends them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from relay.admin.people import BotRecord, KeyRecord, Made, Scope
from relay.clock import Clock
from relay.errors import NotFound
from relay.store import access_keys, admin_tokens, bots
from relay.store.bots import ID_MAX
from relay.store.engine import Database
from relay.store.models import AccessKey, Bot
from relay.store.scopes import load_scope
from relay.store.secrets import new_access_key, new_sdk_token


class PeopleDesk:
    """A part of `relay.admin.ports.AdminStore`.

    Every method raises `StoreError` where the database fails, and `NotFound` for an id that is
    not there. `restricted` is awaited once a credential is worth less than before, so that what
    lives by it ends here at once.
    """

    __slots__ = ("_clock", "_database", "_restricted")

    def __init__(
        self,
        database: Database,
        clock: Clock,
        restricted: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._restricted = restricted

    async def find_admin(self, token: str) -> int | None:
        """Return the id of this administrator's token; None for one unknown or revoked."""
        async with self._database.read() as session:
            return await admin_tokens.find(session, token)

    async def admin_is_active(self, admin_id: int) -> bool:
        """Whether the administrator's token with this id is there and was not revoked."""
        async with self._database.read() as session:
            return await admin_tokens.is_active(session, admin_id)

    # --- bots -----------------------------------------------------------------------------

    async def list_bots(self) -> list[BotRecord]:
        """Return all bots, oldest first."""
        async with self._database.read() as session:
            return [bot_record(bot) for bot in await bots.everyone(session)]

    async def create_bot(self, name: str, *, user_id: str | None) -> Made:
        """Add a bot and return it with its token.

        Raises `BadRequest` for a bad name, and for a user who has a bot already.
        """
        token = new_sdk_token()
        async with self._database.write() as session:
            bot = await bots.add(session, name, token, user_id=user_id, now=self._clock.now())
            return Made(bot_record(bot), token)

    async def rotate_bot_token(self, bot_id: int) -> Made:
        """Give a bot another token; the old one ends its connection."""
        token = new_sdk_token()
        async with self._database.write() as session:
            bot = await _existing_bot(session, bot_id)
            await bots.replace_token(session, bot, token, now=self._clock.now())
            made = Made(bot_record(bot), token)
        await self._tell()
        return made

    async def revoke_bot_token(self, bot_id: int) -> BotRecord:
        """Take a bot's token away, which ends its connection. Twice is as good as once."""
        async with self._database.write() as session:
            bot = await _existing_bot(session, bot_id)
            await bots.revoke(session, bot, now=self._clock.now())
            record = bot_record(bot)
        await self._tell()
        return record

    # --- access keys ----------------------------------------------------------------------

    async def list_keys(self) -> list[KeyRecord]:
        """Return all access keys, oldest first, those that were revoked too."""
        async with self._database.read() as session:
            return [key_record(row) for row in await access_keys.everyone(session)]

    async def create_key(self, name: str, scope: Scope) -> Made:
        """Add an access key and return it with the key itself. Raises `BadRequest`."""
        key, now = new_access_key(), self._clock.now()
        async with self._database.write() as session:
            row = await access_keys.add(session, name, key, scope=scope, now=now)
            return Made(key_record(row), key)

    async def rotate_key(self, key_id: int) -> Made:
        """Replace a key; streams that the old one opened run on.

        Raises `BadRequest` where it was revoked: that is for good.
        """
        key = new_access_key()
        async with self._database.write() as session:
            row = await _existing_key(session, key_id)
            await access_keys.replace_key(session, row, key)
            return Made(key_record(row), key)

    async def revoke_key(self, key_id: int) -> KeyRecord:
        """Revoke a key for good, which ends its live streams. Twice is as good as once."""
        async with self._database.write() as session:
            row = await _existing_key(session, key_id)
            await access_keys.revoke(session, row, now=self._clock.now())
            record = key_record(row)
        await self._tell()
        return record

    async def rescope_key(self, key_id: int, scope: Scope) -> KeyRecord:
        """Give a key another scope, which ends its live streams outside of it.

        Raises `BadRequest` where it cannot be one.
        """
        async with self._database.write() as session:
            row = await _existing_key(session, key_id)
            await access_keys.rescope(session, row, scope)
            record = key_record(row)
        await self._tell()
        return record

    async def _tell(self) -> None:
        if self._restricted is not None:
            await self._restricted()


def bot_record(bot: Bot) -> BotRecord:
    """Return the bot as operators see it."""
    assert bot.id is not None
    return BotRecord(
        bot_id=bot.id,
        name=bot.name,
        user_id=bot.rokid_user_id,
        device_id=bot.rokid_device_id,
        token_prefix=bot.token_prefix,
        revoked=bots.is_revoked(bot),
        created_at=bot.created_at.timestamp(),
    )


def key_record(row: AccessKey) -> KeyRecord:
    """Return the key as operators see it."""
    assert row.id is not None
    return KeyRecord(
        key_id=row.id,
        name=row.name,
        key_prefix=row.key_prefix,
        scope=load_scope(row.scope),
        created_at=row.created_at.timestamp(),
        last_used_at=_seconds(row.last_used_at),
        revoked_at=_seconds(row.revoked_at),
    )


async def _existing_bot(session: AsyncSession, bot_id: int) -> Bot:
    # A number that no column holds would fail the statement.
    bot = await bots.get(session, bot_id) if 0 < bot_id <= ID_MAX else None
    if bot is None:
        raise NotFound(f"there is no bot {bot_id}")
    return bot


async def _existing_key(session: AsyncSession, key_id: int) -> AccessKey:
    row = await session.get(AccessKey, key_id) if 0 < key_id <= ID_MAX else None
    if row is None:
        raise NotFound(f"there is no access key {key_id}")
    return row


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
