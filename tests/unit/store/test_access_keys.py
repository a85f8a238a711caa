from __future__ import annotations

import pytest

from relay.errors import BadRequest
from relay.store import access_keys
from relay.store.engine import Database
from relay.store.models import AccessKey, moment
from tests.support.store import NOW

KEY = "ak_" + "0" * 64


async def add(database: Database, key: str = KEY) -> int:
    """Add a key and return its id."""
    async with database.write() as session:
        row = await access_keys.add(session, "glasses", key, now=NOW)
    assert row.id is not None
    return row.id


async def find(database: Database, key: str = KEY) -> AccessKey | None:
    """Look for a key."""
    async with database.read() as session:
        return await access_keys.by_key(session, key)


async def last_used(database: Database) -> float | None:
    """When the key was last used."""
    row = await find(database)
    assert row is not None
    return None if row.last_used_at is None else row.last_used_at.timestamp()


async def touch(database: Database, used: dict[int, float]) -> None:
    """Record uses."""
    async with database.write() as session:
        await access_keys.touch(session, used)


async def test_a_key_is_found_by_itself_only(database: Database) -> None:
    """Not by its hash or its prefix, which a copy of the database holds."""
    key_id = await add(database)
    row = await find(database)
    assert row is not None
    assert (row.id, row.name, row.key_prefix) == (key_id, "glasses", "ak_00000")
    assert await find(database, row.key_hash) is None
    assert await find(database, "ak_") is None


@pytest.mark.parametrize("change", [{"is_active": False}, {"revoked_at": moment(NOW)}])
async def test_a_key_that_is_off_or_revoked_is_not_found(
    database: Database, change: dict[str, object]
) -> None:
    """Either is enough."""
    key_id = await add(database)
    async with database.write() as session:
        row = await session.get(AccessKey, key_id)
        assert row is not None
        row.sqlmodel_update(change)
    assert await find(database) is None


async def test_a_key_can_be_added_once(database: Database) -> None:
    """Two names for one key would hide who asked."""
    await add(database)
    with pytest.raises(BadRequest, match="exists already"):
        await add(database)


async def test_a_use_is_recorded_at_most_once_a_minute(database: Database) -> None:
    """59 s later the row stays as it is; a minute later it is written."""
    key_id = await add(database)
    assert await last_used(database) is None
    await touch(database, {key_id: NOW})
    assert await last_used(database) == NOW
    await touch(database, {key_id: NOW + 59})
    assert await last_used(database) == NOW
    await touch(database, {key_id: NOW + 60})
    assert await last_used(database) == NOW + 60


async def test_uses_of_many_keys_are_recorded_together(database: Database) -> None:
    """A key that is gone by then is no error, and neither is none at all."""
    first, second = await add(database), await add(database, "ak_" + "1" * 64)
    await touch(database, {})
    await touch(database, {first: NOW, second: NOW + 1, 99: NOW})
    other = await find(database, "ak_" + "1" * 64)
    assert await last_used(database) == NOW
    assert other is not None
    assert other.last_used_at == moment(NOW + 1)
