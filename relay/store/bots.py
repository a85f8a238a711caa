"""Queries for bots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.errors import BadRequest
from relay.store.models import NAME_CHARS_MAX, AccessKey, Bot, moment
from relay.store.secrets import fingerprint, matches

REVOKED: Final = "revoked:"
"""Begins what stands in place of a hash where the token was revoked; no token hashes to it."""

ID_MAX: Final = 2**63 - 1

SAME_NAME_MAX: Final = 10
"""How many of one name are listed when one is asked for."""

_Named = TypeVar("_Named", Bot, AccessKey)


async def add(
    session: AsyncSession, name: str, token: str, *, user_id: str | None, now: float
) -> Bot:
    """Add a bot that authenticates with `token` and answers the user `user_id`.

    Raises `BadRequest` where the name is empty or too long, or the user or the token is another
    bot's.
    """
    name = checked_name(name)
    if user_id is not None and (other := await by_user(session, user_id)) is not None:
        raise BadRequest(
            f"user {user_id} belongs to bot {other.id} ({other.name}) already", field="user_id"
        )
    stored = fingerprint(token)
    bot = Bot(
        name=name,
        rokid_user_id=user_id,
        token_prefix=stored.prefix,
        token_hash=stored.hash,
        created_at=moment(now),
        updated_at=moment(now),
    )
    session.add(bot)
    try:
        await session.flush()
    except IntegrityError:
        raise BadRequest("another bot has this token, or now this user", field="token") from None
    return bot


async def replace_token(session: AsyncSession, bot: Bot, token: str, *, now: float) -> None:
    """Give the bot another token; the old one is of no use from the commit on."""
    stored = fingerprint(token)
    bot.token_prefix, bot.token_hash = stored.prefix, stored.hash
    bot.updated_at = moment(now)
    session.add(bot)
    await session.flush()


async def revoke(session: AsyncSession, bot: Bot, *, now: float) -> None:
    """Take the bot's token away. Its user stays bound to it, and another token brings it back."""
    bot.token_prefix, bot.token_hash = "", f"{REVOKED}{bot.id}"
    bot.updated_at = moment(now)
    session.add(bot)
    await session.flush()


def is_revoked(bot: Bot) -> bool:
    """Whether the bot has no token."""
    return bot.token_hash.startswith(REVOKED)


async def everyone(session: AsyncSession) -> list[Bot]:
    """Return all bots, oldest first."""
    return list(await session.exec(select(Bot).order_by(col(Bot.id))))


async def named(session: AsyncSession, name_or_id: str) -> Bot:
    """Return the bot that is meant. Raises `BadRequest` where there is none, or more than one."""
    if (number := as_id(name_or_id)) is not None and (bot := await get(session, number)):
        return bot
    found = await session.exec(
        select(Bot).where(col(Bot.name) == name_or_id).order_by(col(Bot.id)).limit(SAME_NAME_MAX)
    )
    return the_one(found.all(), "bot", name_or_id)


async def get(session: AsyncSession, bot_id: int) -> Bot | None:
    """Return the bot with this id."""
    return await session.get(Bot, bot_id)


async def by_token(session: AsyncSession, token: str) -> Bot | None:
    """Return the bot that this token belongs to."""
    found = await session.exec(select(Bot).where(col(Bot.token_hash) == fingerprint(token).hash))
    bot = found.one_or_none()
    return bot if bot is not None and matches(token, bot.token_hash) else None


async def by_user(session: AsyncSession, user_id: str) -> Bot | None:
    """Return the bot that answers this user."""
    found = await session.exec(select(Bot).where(col(Bot.rokid_user_id) == user_id))
    return found.one_or_none()


def checked_name(name: str) -> str:
    """Return the name without blanks around it. Raises `BadRequest` where it cannot be one."""
    name = name.strip()
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise BadRequest(f"a name is 1 to {NAME_CHARS_MAX} printable characters", field="name")
    return name


def as_id(text: str) -> int | None:
    """Return the row's id that the text is, or None where it can be none."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(ID_MAX)):
        return None
    return int(text) if int(text) <= ID_MAX else None


def the_one(found: Sequence[_Named], what: str, wanted: str) -> _Named:
    """Return the only one. Raises `BadRequest` where none or several have the name `wanted`."""
    match found:
        case [one]:
            return one
        case []:
            raise BadRequest(f"there is no {what} {wanted}", field="name")
        case _:
            ids = ", ".join(str(row.id) for row in found)
            raise BadRequest(f"several are called {wanted}; give an id: {ids}", field="name")
