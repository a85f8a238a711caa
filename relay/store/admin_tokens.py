"""Queries for administrators' tokens."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.errors import BadRequest
from relay.store.models import AdminToken, moment
from relay.store.secrets import fingerprint, matches


async def add(session: AsyncSession, token: str, *, now: float) -> AdminToken:
    """Add a token. Raises `BadRequest` where it exists already."""
    stored = fingerprint(token)
    row = AdminToken(token_prefix=stored.prefix, token_hash=stored.hash, created_at=moment(now))
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise BadRequest("this token exists already", field="token") from None
    return row


async def find(session: AsyncSession, token: str) -> int | None:
    """Return the id of this token; None where it is unknown or revoked."""
    query = select(AdminToken).where(
        col(AdminToken.token_hash) == fingerprint(token).hash,
        col(AdminToken.revoked_at).is_(None),
    )
    row = (await session.exec(query)).one_or_none()
    return row.id if row is not None and matches(token, row.token_hash) else None


async def everyone(session: AsyncSession) -> list[AdminToken]:
    """Return all tokens, oldest first, those that were revoked too."""
    return list(await session.exec(select(AdminToken).order_by(col(AdminToken.id))))


async def revoke(session: AsyncSession, admin_id: int, *, now: float) -> AdminToken:
    """Make a token of no use from the commit on. Raises `BadRequest` where there is none."""
    row = await session.get(AdminToken, admin_id)
    if row is None:
        raise BadRequest(f"there is no admin token {admin_id}; see relay admin list", field="id")
    row.revoked_at = row.revoked_at or moment(now)
    session.add(row)
    await session.flush()
    return row


async def verify(session: AsyncSession, token: str) -> bool:
    """Whether this is an administrator's token that was not revoked."""
    return await find(session, token) is not None


async def is_active(session: AsyncSession, admin_id: int) -> bool:
    """Whether the token with this id is there and was not revoked."""
    row = await session.get(AdminToken, admin_id)
    return row is not None and row.revoked_at is None
