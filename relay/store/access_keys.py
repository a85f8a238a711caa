"""Queries for access keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import bindparam, or_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.admin.people import EVERYTHING, Scope
from relay.errors import BadRequest
from relay.store.bots import SAME_NAME_MAX, as_id, checked_name, the_one
from relay.store.models import AccessKey, moment
from relay.store.scopes import dump_scope
from relay.store.secrets import fingerprint, matches

TOUCH_S: Final = 60.0
"""`last_used_at` is exact to this. The reference wrote the row on every request."""


async def add(
    session: AsyncSession, name: str, key: str, *, scope: Scope = EVERYTHING, now: float
) -> AccessKey:
    """Add an access key.

    Raises `BadRequest` where the name or the scope cannot be one, or the key exists.
    """
    stored = fingerprint(key)
    row = AccessKey(
        name=checked_name(name),
        key_prefix=stored.prefix,
        key_hash=stored.hash,
        scope=dump_scope(scope),
        created_at=moment(now),
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise BadRequest("this access key exists already", field="key") from None
    return row


async def by_key(session: AsyncSession, key: str) -> AccessKey | None:
    """Return the access key, unless it was revoked or switched off."""
    query = select(AccessKey).where(
        col(AccessKey.key_hash) == fingerprint(key).hash,
        col(AccessKey.is_active),
        col(AccessKey.revoked_at).is_(None),
    )
    row = (await session.exec(query)).one_or_none()
    return row if row is not None and matches(key, row.key_hash) else None


async def everyone(session: AsyncSession) -> list[AccessKey]:
    """Return all keys, oldest first, those that were revoked too."""
    return list(await session.exec(select(AccessKey).order_by(col(AccessKey.id))))


async def named(session: AsyncSession, name_or_id: str) -> AccessKey:
    """Return the key that is meant. Raises `BadRequest` where there is none, or more than one.

    A name means a key that was not revoked, as long as there is one.
    """
    number = as_id(name_or_id)
    if number is not None and (key := await session.get(AccessKey, number)):
        return key
    revoked = col(AccessKey.revoked_at)
    query = select(AccessKey).where(col(AccessKey.name) == name_or_id).order_by(col(AccessKey.id))
    valid = (await session.exec(query.where(revoked.is_(None)).limit(SAME_NAME_MAX))).all()
    found = valid or (await session.exec(query.limit(SAME_NAME_MAX))).all()
    return the_one(found, "access key", name_or_id)


async def replace_key(session: AsyncSession, row: AccessKey, key: str) -> None:
    """Give the row another key; the old one is of no use from the commit on.

    Raises `BadRequest` where it was revoked: that is for good.
    """
    if row.revoked_at is not None:
        raise BadRequest(f"access key {row.id} was revoked; add another", field="name")
    stored = fingerprint(key)
    row.key_prefix, row.key_hash = stored.prefix, stored.hash
    session.add(row)
    await session.flush()


async def revoke(session: AsyncSession, row: AccessKey, *, now: float) -> None:
    """Make the key of no use from the commit on. The time of the first revocation stays."""
    row.revoked_at = row.revoked_at or moment(now)
    session.add(row)
    await session.flush()


async def rescope(session: AsyncSession, row: AccessKey, scope: Scope) -> None:
    """Give the key another scope, also one that was revoked. Raises `BadRequest` for a bad one."""
    row.scope = dump_scope(scope)
    session.add(row)
    await session.flush()


async def touch(session: AsyncSession, used: Mapping[int, float]) -> None:
    """Record when keys were last used: id -> seconds. Rows newer than a minute stay as they are."""
    if not used:
        return
    last = col(AccessKey.last_used_at)
    query = (
        update(AccessKey)
        .where(col(AccessKey.id) == bindparam("key_id"))
        .where(or_(last.is_(None), last <= bindparam("stale")))
        .values(last_used_at=bindparam("used"))
    )
    values = [
        {"key_id": key_id, "used": moment(at), "stale": moment(at - TOUCH_S)}
        for key_id, at in used.items()
    ]
    connection = await session.connection()
    await connection.execute(query, values)
