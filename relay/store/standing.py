"""Which of the credentials that are in use are valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import msgspec
import sqlalchemy
from sqlalchemy import Select, bindparam, func
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.admin.people import Scope
from relay.node.revocations import Standing
from relay.store.models import AccessKey, Bot
from relay.store.scopes import load_scope


async def standing(
    session: AsyncSession, key_ids: Sequence[int], bots: Mapping[str, int]
) -> Standing:
    """Return the scopes of the keys that are valid, and the credentials of bots that are not.

    One statement for each of the two. The database compares the bots' credentials, thousands of
    them, and tells only of those that are void: to read them all would take milliseconds of the
    event loop, each time somebody looks.
    """
    connection = await session.connection()
    scopes: dict[int, Scope] = {}
    void: frozenset[str] = frozenset()
    if key_ids:
        valid = await connection.execute(_valid_keys(), {"ids": key_ids})
        scopes = {key_id: load_scope(scope) for key_id, scope in valid if key_id is not None}
    if bots:
        # What stands in place of the hash of a revoked token was nobody's credential.
        given = {"bots": msgspec.json.encode(bots).decode()}
        found = await connection.execute(_void_bots(connection.dialect.name), given)
        void = frozenset(found.scalars())
    return Standing(scopes, void)


@cache
def _valid_keys() -> Select[int | None, str | None]:
    return sqlalchemy.select(col(AccessKey.id), col(AccessKey.scope)).where(
        col(AccessKey.id).in_(bindparam("ids", expanding=True)),
        col(AccessKey.is_active),
        col(AccessKey.revoked_at).is_(None),
    )


@cache
def _void_bots(dialect: str) -> Select[str]:
    """Return what takes a JSON object of credentials and their bots' ids."""
    bots = bindparam("bots", type_=sqlalchemy.Text())
    each = (
        func.json_each_text(sqlalchemy.cast(bots, sqlalchemy.JSON))
        if dialect == "postgresql"
        else func.json_each(bots)
    ).table_valued("key", "value", name="given")
    is_here = sqlalchemy.and_(
        col(Bot.token_hash) == each.c.key,
        col(Bot.id) == sqlalchemy.cast(each.c.value, sqlalchemy.BigInteger),
    )
    return (
        sqlalchemy.select(each.c.key)
        .select_from(each.outerjoin(Bot, is_here))
        .where(col(Bot.id).is_(None))
    )
