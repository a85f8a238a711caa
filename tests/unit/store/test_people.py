from __future__ import annotations

import pytest
from sqlalchemy import text

from relay.admin.people import EVERYTHING, BotRecord, KeyRecord, Scope
from relay.clock import ManualClock
from relay.errors import BadRequest, NotFound
from relay.store import access_keys, admin_tokens, bots
from relay.store.engine import Database
from relay.store.people import PeopleDesk
from relay.store.scopes import NOTHING
from tests.support.store import NOW

SCOPE = Scope(agents=frozenset({"a"}), bots=frozenset({1}))


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> PeopleDesk:
    """A desk on an empty database."""
    return PeopleDesk(database, clock)


async def knows_bot(database: Database, token: str) -> bool:
    """Whether this is a bot's token."""
    async with database.read() as session:
        return await bots.by_token(session, token) is not None


async def knows_key(database: Database, key: str) -> bool:
    """Whether this is a valid access key."""
    async with database.read() as session:
        return await access_keys.by_key(session, key) is not None


async def test_a_bot_is_made_and_listed(desk: PeopleDesk, database: Database) -> None:
    """Its token is told once, and works; the list has its beginning."""
    made = await desk.create_bot(" Nova ", user_id="u1")
    assert made.record == BotRecord(1, "Nova", "u1", None, made.secret[:8], False, NOW)
    assert await knows_bot(database, made.secret)
    assert made.secret not in repr(made)
    await desk.create_bot("Vega", user_id=None)
    assert [bot.name for bot in await desk.list_bots()] == ["Nova", "Vega"]
    with pytest.raises(BadRequest, match="belongs to bot 1"):
        await desk.create_bot("Altair", user_id="u1")


async def test_a_bots_token_is_rotated_and_revoked(desk: PeopleDesk, database: Database) -> None:
    """Only the newest one works, and none once it is revoked; a rotation brings it back."""
    first = await desk.create_bot("Nova", user_id="u1")
    second = await desk.rotate_bot_token(1)
    assert not await knows_bot(database, first.secret)
    assert await knows_bot(database, second.secret)
    for _ in range(2):
        gone = await desk.revoke_bot_token(1)
        assert (gone.revoked, gone.token_prefix, gone.user_id) == (True, "", "u1")
    assert not await knows_bot(database, second.secret)
    third = await desk.rotate_bot_token(1)
    assert third.record == BotRecord(1, "Nova", "u1", None, third.secret[:8], False, NOW)


async def test_a_key_is_made_with_its_scope_and_listed(
    desk: PeopleDesk, database: Database
) -> None:
    """The key is told once, and works."""
    made = await desk.create_key("glasses", SCOPE)
    assert made.record == KeyRecord(1, "glasses", made.secret[:8], SCOPE, NOW, None, None)
    assert await knows_key(database, made.secret)
    await desk.create_key("others", EVERYTHING)
    async with database.write() as session:
        await access_keys.touch(session, {2: NOW + 9})
    listed = await desk.list_keys()
    assert [(key.scope, key.last_used_at) for key in listed] == [
        (SCOPE, None),
        (EVERYTHING, NOW + 9),
    ]
    with pytest.raises(BadRequest, match="agents are"):
        await desk.create_key("bad", Scope(agents=frozenset({""})))


async def test_a_key_is_rotated_revoked_and_given_another_scope(
    desk: PeopleDesk, database: Database, clock: ManualClock
) -> None:
    """A rotated one keeps its scope; the first revocation is the one that is told."""
    first = await desk.create_key("glasses", SCOPE)
    second = await desk.rotate_key(1)
    assert isinstance(second.record, KeyRecord)
    assert second.record.scope == SCOPE
    assert not await knows_key(database, first.secret)
    assert await knows_key(database, second.secret)
    wider = Scope(agents=frozenset({"a", "b"}))
    assert (await desk.rescope_key(1, wider)).scope == wider
    assert (await desk.rescope_key(1, EVERYTHING)).scope == EVERYTHING
    for _ in range(2):
        assert (await desk.revoke_key(1)).revoked_at == NOW
        clock.advance(1)
    assert not await knows_key(database, second.secret)
    with pytest.raises(BadRequest, match="was revoked"):
        await desk.rotate_key(1)


@pytest.mark.parametrize("missing", [9, 0, -1, 2**63])
async def test_who_is_not_there_is_not_found(desk: PeopleDesk, missing: int) -> None:
    """Also a number that no column could hold."""
    for call in (
        desk.rotate_bot_token(missing),
        desk.revoke_bot_token(missing),
        desk.rotate_key(missing),
        desk.revoke_key(missing),
        desk.rescope_key(missing, SCOPE),
    ):
        with pytest.raises(NotFound, match=f"there is no .* {missing}"):
            await call


async def test_a_scope_that_somebody_spoilt_is_listed_as_nothing(
    desk: PeopleDesk, database: Database
) -> None:
    """That is what it allows."""
    await desk.create_key("glasses", SCOPE)
    async with database.write() as session:
        await (await session.connection()).execute(text("UPDATE access_keys SET scope = '{'"))
    assert (await desk.list_keys())[0].scope == NOTHING


async def test_an_administrator_is_known_by_the_token(desk: PeopleDesk, database: Database) -> None:
    """And by nothing else."""
    async with database.write() as session:
        await admin_tokens.add(session, "adm_1", now=NOW)
    admin_id = await desk.find_admin("adm_1")
    assert admin_id is not None
    assert await desk.admin_is_active(admin_id)
    assert await desk.find_admin("adm_2") is None
