from __future__ import annotations

import pytest

from relay.errors import BadRequest
from relay.store import admin_tokens
from relay.store.engine import Database
from relay.store.models import AdminToken, moment
from tests.support.store import NOW

TOKEN = "adm_" + "0" * 64


async def add(database: Database) -> AdminToken:
    """Add the token."""
    async with database.write() as session:
        return await admin_tokens.add(session, TOKEN, now=NOW)


async def test_a_token_is_verified_by_itself_only(database: Database) -> None:
    """Its hash opens nothing."""
    row = await add(database)
    async with database.read() as session:
        assert await admin_tokens.verify(session, TOKEN)
        assert not await admin_tokens.verify(session, row.token_hash)
        assert not await admin_tokens.verify(session, "")


async def test_a_revoked_token_opens_nothing(database: Database) -> None:
    """From the commit on."""
    row = await add(database)
    assert row.id is not None
    async with database.write() as session:
        row = await admin_tokens.revoke(session, row.id, now=NOW)
        assert row.id is not None
        again = await admin_tokens.revoke(session, row.id, now=NOW + 60)
        assert again.revoked_at == moment(NOW)
    async with database.read() as session:
        assert [one.id for one in await admin_tokens.everyone(session)] == [row.id]
        assert not await admin_tokens.verify(session, TOKEN)
        assert await admin_tokens.find(session, TOKEN) is None
        assert row.id is not None
        assert not await admin_tokens.is_active(session, row.id)


async def test_a_token_is_known_again_by_its_id(database: Database) -> None:
    """A session that remembers the id ends with the token; an id that never was opens nothing."""
    row = await add(database)
    assert row.id is not None
    async with database.read() as session:
        assert await admin_tokens.find(session, TOKEN) == row.id
        assert await admin_tokens.find(session, TOKEN + "1") is None
        assert await admin_tokens.is_active(session, row.id)
        assert not await admin_tokens.is_active(session, row.id + 1)


async def test_a_token_can_be_added_once(database: Database) -> None:
    """Adding it again is the caller's mistake, not the database's."""
    await add(database)
    with pytest.raises(BadRequest, match="exists already"):
        await add(database)
