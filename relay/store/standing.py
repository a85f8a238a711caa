"""Which of the credentials that are in use are valid."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.node.revocations import Standing
from relay.store.models import AccessKey, Bot
from relay.store.scopes import load_scope


async def standing(
    session: AsyncSession, key_ids: Sequence[int], bot_ids: Sequence[int]
) -> Standing:
    """Return the scopes of the keys that are valid, and the credentials of the bots.

    One statement for each of the two, by primary key. Without the session's own reading of rows,
    which takes half as long again, each time somebody looks.
    """
    keys = sqlalchemy.select(col(AccessKey.id), col(AccessKey.scope)).where(
        col(AccessKey.id).in_(key_ids),
        col(AccessKey.is_active),
        col(AccessKey.revoked_at).is_(None),
    )
    bots = sqlalchemy.select(col(Bot.id), col(Bot.token_hash)).where(col(Bot.id).in_(bot_ids))
    connection = await session.connection()
    valid = (await connection.execute(keys)).all() if key_ids else ()
    known = (await connection.execute(bots)).all() if bot_ids else ()
    return Standing(
        {key_id: load_scope(scope) for key_id, scope in valid if key_id is not None},
        # What stands in place of the hash of a revoked token was nobody's credential.
        {bot_id: token_hash for bot_id, token_hash in known if bot_id is not None},
    )
