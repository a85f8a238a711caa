"""Which of the credentials that are in use are valid."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.node.revocations import Standing
from relay.store.models import AccessKey, Bot
from relay.store.scopes import load_scope


async def standing(
    session: AsyncSession, key_ids: Sequence[int], bot_ids: Sequence[int]
) -> Standing:
    """Return the scopes of the keys that are valid, and the credentials of the bots.

    One statement for each of the two, by primary key.
    """
    keys = select(AccessKey.id, AccessKey.scope).where(
        col(AccessKey.id).in_(key_ids),
        col(AccessKey.is_active),
        col(AccessKey.revoked_at).is_(None),
    )
    bots = select(Bot.id, Bot.token_hash).where(col(Bot.id).in_(bot_ids))
    valid = (await session.exec(keys)).all() if key_ids else ()
    known = (await session.exec(bots)).all() if bot_ids else ()
    return Standing(
        {key_id: load_scope(scope) for key_id, scope in valid if key_id is not None},
        # What stands in place of the hash of a revoked token was nobody's credential.
        {bot_id: token_hash for bot_id, token_hash in known if bot_id is not None},
    )
