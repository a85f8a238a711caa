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


async def test_a_revoked_key_is_of_no_use_for_good(database: Database) -> None:
    """It cannot be replaced, and a second revocation does not change when it was."""
    await add(database)
    async with database.write() as session:
        row = await access_keys.named(session, "glasses")
        await access_keys.revoke(session, row, now=NOW)
        await access_keys.revoke(session, row, now=NOW + 1)
    assert row.revoked_at == moment(NOW)
    assert await find(database) is None
    async with database.write() as session:
        with pytest.raises(BadRequest, match="was revoked"):
            await access_keys.replace_key(session, row, "ak_new")


async def test_a_replaced_key_is_of_no_use_any_more(database: Database) -> None:
    """The new one is, under the same id."""
    key_id = await add(database)
    other = "ak_" + "1" * 64
    async with database.write() as session:
        row = await access_keys.named(session, str(key_id))
        await access_keys.replace_key(session, row, other)
    assert await find(database) is None
    found = await find(database, other)
    assert found is not None
    assert (found.id, found.key_prefix) == (key_id, "ak_11111")


async def test_a_name_means_the_key_that_is_valid(database: Database) -> None:
    """Two valid ones of one name need an id; one that was revoked is found while it is alone."""
    first = await add(database)
    async with database.write() as session:
        await access_keys.revoke(session, await access_keys.named(session, "glasses"), now=NOW)
    async with database.read() as session:
        assert (await access_keys.named(session, "glasses")).id == first
    second = await add(database, "ak_" + "1" * 64)
    async with database.read() as session:
        assert (await access_keys.named(session, "glasses")).id == second
    await add(database, "ak_" + "2" * 64)
    async with database.read() as session:
        with pytest.raises(BadRequest, match="give an id: 2, 3"):
            await access_keys.named(session, "glasses")
        with pytest.raises(BadRequest, match="there is no access key nobody"):
            await access_keys.named(session, "nobody")
        assert [key.id for key in await access_keys.everyone(session)] == [1, 2, 3]
