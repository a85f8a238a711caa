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


async def verify(session: AsyncSession, token: str) -> bool:
    """Whether this is an administrator's token that was not revoked."""
    query = select(AdminToken).where(
        col(AdminToken.token_hash) == fingerprint(token).hash,
        col(AdminToken.revoked_at).is_(None),
    )
    row = (await session.exec(query)).one_or_none()
    return row is not None and matches(token, row.token_hash)
