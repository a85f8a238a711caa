"""Tokens that bind a user to a bot, once. `BindingDesk` makes them, takes them and lists them."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import replace
from typing import Final

import msgspec
from sqlalchemy import delete, func, or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.admin.binding import BindingContext, Redeemed, Redemption
from relay.admin.people import BindingRecord, BotRecord, Made
from relay.clock import Clock
from relay.devices.binding_code import ALPHABET, CHARS, is_code, show_code
from relay.errors import BadRequest, NotFound
from relay.store import bots
from relay.store.engine import Database
from relay.store.models import BindingPlace, BindingToken, Bot, moment
from relay.store.people import bot_record
from relay.store.upsert import insert_into

PREFIX_CHARS: Final = 2
"""How much of a token is kept in clear. Forty bits stay secret, behind a slow hash."""

KEPT_S: Final = 30 * 86_400.0
"""How long a token stays in the list once it has expired: it says who was bound when."""

LISTED_MAX: Final = 1_000

CONTEXT_S: Final = 600.0
"""How long a photo is waited for. Real ones came 8 seconds later."""

CONTEXTS_MAX: Final = 10_000

_SALT: Final = b"relay binding token"
"""One for all: a token is found by its hash. It is random, so there are no common ones to look
up."""


class _Refused(Exception):
    """Ends the transaction, and with it all that it has done."""

    def __init__(self, redemption: Redemption) -> None:
        self.redemption = redemption


class BindingDesk:
    """Every method raises `StoreError` where the database fails."""

    __slots__ = ("_clock", "_database", "_hashing", "_ttl_s")

    def __init__(self, database: Database, clock: Clock, ttl_s: float) -> None:
        self._database = database
        self._clock = clock
        self._ttl_s = ttl_s
        # Each takes 16 MiB while it runs.
        self._hashing = asyncio.Semaphore(2)

    # --- for operators --------------------------------------------------------------------

    async def list_bindings(self) -> list[BindingRecord]:
        """Return the tokens, newest first, at most `LISTED_MAX`; also used and expired ones."""
        query = select(BindingToken).order_by(col(BindingToken.id).desc()).limit(LISTED_MAX)
        async with self._database.read() as session:
            return [_record(row) for row in await session.exec(query)]

    async def create_binding(self, bot_id: int) -> Made:
        """Make a token that binds one user to this bot, once, and expires.

        Raises `NotFound` where there is no such bot, and `BadRequest` where it has a user.
        """
        code = new_code()
        now = self._clock.now()
        hashed = await self._hash(code)
        async with self._database.write() as session:
            bot = await _existing_bot(session, bot_id)
            if bot.rokid_user_id is not None:
                raise BadRequest(
                    f"bot {bot_id} ({bot.name}) has a user already; unbind it first", field="bot_id"
                )
            await _forget_old(session, now)
            row = BindingToken(
                bot_id=bot_id,
                token_prefix=code[:PREFIX_CHARS],
                token_hash=hashed,
                created_at=moment(now),
                expires_at=moment(now + self._ttl_s),
            )
            session.add(row)
            await session.flush()
        return Made(_record(row), show_code(code))

    async def delete_binding(self, binding_id: int) -> None:
        """Make a token of no use. What was bound with it stays bound. Raises `NotFound`."""
        async with self._database.write() as session:
            row = await session.get(BindingToken, binding_id)
            if row is None:
                raise NotFound(f"there is no binding token {binding_id}")
            await session.delete(row)

    async def unbind(self, bot_id: int) -> BotRecord:
        """Part a bot from its user. Nothing happens where it has none. Raises `NotFound`."""
        async with self._database.write() as session:
            bot = await _existing_bot(session, bot_id)
            if bot.rokid_user_id is not None:
                bot.rokid_user_id = bot.rokid_device_id = None
                bot.updated_at = moment(self._clock.now())
                session.add(bot)
                await session.flush()
            return bot_record(bot)

    # --- for users ------------------------------------------------------------------------

    async def redeem(self, token: str, *, user_id: str, device_id: str) -> Redemption:
        """Bind the user to the token's bot, if the token allows it.

        `token` is as `find_code` returns it. All of it is one transaction: of two users who show
        one token at the same time, one is bound and the other is told `USED`.
        """
        if not is_code(token):
            return Redemption(Redeemed.UNKNOWN)
        hashed = await self._hash(token)
        try:
            async with self._database.write() as session:
                return await self._redeem(session, hashed, user_id, device_id)
        except _Refused as refused:
            return refused.redemption

    async def _redeem(
        self, session: AsyncSession, hashed: str, user_id: str, device_id: str
    ) -> Redemption:
        now = self._clock.now()
        found = select(BindingToken).where(col(BindingToken.token_hash) == hashed)
        # Whoever comes second waits here, and then reads what the first one wrote.
        row = (await session.exec(found.with_for_update())).one_or_none()
        if row is None:
            return Redemption(Redeemed.UNKNOWN)
        locked = select(Bot).where(col(Bot.id) == row.bot_id).with_for_update()
        bot = (await session.exec(locked)).one_or_none()
        if bot is None:
            return Redemption(Redeemed.UNKNOWN)
        # Read now: after a flush that failed nothing can be read of a row any more.
        bound = Redemption(Redeemed.BOUND, bot.id, bot.name)
        if row.used_at is not None:
            return replace(bound, result=Redeemed.USED)
        if row.expires_at <= moment(now):
            return replace(bound, result=Redeemed.EXPIRED)
        if bot.rokid_user_id not in (None, user_id):
            return replace(bound, result=Redeemed.BOT_TAKEN)
        taken = replace(bound, result=Redeemed.USER_TAKEN)
        other = await bots.by_user(session, user_id)
        if other is not None and other.id != bot.id:
            return taken
        row.used_at, row.user_id, row.device_id = moment(now), user_id, device_id
        bot.rokid_user_id, bot.rokid_device_id = user_id, device_id
        bot.updated_at = moment(now)
        session.add(row)
        session.add(bot)
        try:
            await session.flush()
        except IntegrityError:
            # Bound to another bot since the look above: the column is unique.
            raise _Refused(taken) from None
        return bound

    async def remember(self, context: BindingContext) -> None:
        """Keep in mind, over restarts too, that a photo was asked for here."""
        now = self._clock.now()
        place, hashed = col(BindingPlace.id), _context_hash(context)
        newest = select(func.max(place)).scalar_subquery()
        async with self._database.write() as session:
            connection = await session.connection()
            await connection.execute(
                delete(BindingPlace).where(
                    or_(
                        col(BindingPlace.context_hash) == hashed,
                        col(BindingPlace.expires_at) <= moment(now),
                        place <= newest - (CONTEXTS_MAX - 1),
                    )
                )
            )
            values = {
                "context_hash": hashed,
                "asked_at": moment(now),
                "expires_at": moment(now + CONTEXT_S),
            }
            insert = insert_into(BindingPlace, is_sqlite=self._database.is_sqlite).values(values)
            await connection.execute(insert.on_conflict_do_nothing())

    async def recall(self, context: BindingContext) -> bool:
        """Whether a photo was asked for here, less than `CONTEXT_S` ago."""
        query = select(BindingPlace).where(
            col(BindingPlace.context_hash) == _context_hash(context),
            col(BindingPlace.expires_at) > moment(self._clock.now()),
        )
        async with self._database.read() as session:
            return (await session.exec(query)).first() is not None

    async def _hash(self, code: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(code_hash, code)


def new_code() -> str:
    """Make a token in its plain form: ten characters, of which one looks like no letter."""
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(CHARS))
        if is_code(code):
            return code


def code_hash(code: str) -> str:
    """Return what is stored of a token, in hexadecimal.

    50 bits are few: a plain SHA-256 of all of them can be searched in hours by whoever has a
    copy of the database. scrypt takes 16 MiB and some 40 ms for each, which is ages.
    """
    return hashlib.scrypt(code.encode(), salt=_SALT, n=2**14, r=8, p=1, dklen=32).hex()


async def _existing_bot(session: AsyncSession, bot_id: int) -> Bot:
    locked = select(Bot).where(col(Bot.id) == bot_id).with_for_update()
    bot = (await session.exec(locked)).one_or_none()
    if bot is None:
        raise NotFound(f"there is no bot {bot_id}")
    return bot


async def _forget_old(session: AsyncSession, now: float) -> None:
    connection = await session.connection()
    old = col(BindingToken.expires_at) <= moment(now - KEPT_S)
    await connection.execute(delete(BindingToken).where(old))


def _context_hash(context: BindingContext) -> str:
    """Name a context in 64 characters: its ids may have 256 each, which no index takes."""
    # As JSON, not joined: no two lists have the same.
    parts = [
        context.conversation_id,
        context.agent_id,
        context.access_key_id,
        context.user_id,
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _record(row: BindingToken) -> BindingRecord:
    assert row.id is not None
    return BindingRecord(
        binding_id=row.id,
        bot_id=row.bot_id,
        token_prefix=row.token_prefix,
        created_at=row.created_at.timestamp(),
        expires_at=row.expires_at.timestamp(),
        used_at=None if row.used_at is None else row.used_at.timestamp(),
        user_id=row.user_id,
        device_id=row.device_id,
    )
