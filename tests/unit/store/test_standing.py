from __future__ import annotations

import pytest

from relay.admin.people import EVERYTHING, Scope
from relay.node.revocations import ASKED_MAX, Standing
from relay.store.engine import Database
from relay.store.models import AccessKey, Bot, moment
from relay.store.people import PeopleDesk
from relay.store.store import Store
from tests.support.store import NOW

SCOPE = Scope(users=frozenset({"u"}))


async def credential_of(store: Store, token: str) -> str:
    """The credential that a bot's identity carries."""
    bot = await store.bot_by_token(token)
    assert bot is not None
    return bot.token_hash


async def test_a_valid_key_has_its_scope_and_a_bots_credential_is_valid(store: Store) -> None:
    """As long as it is that bot's; what nobody knows is told to be void."""
    await store.people_desk().create_key("a", EVERYTHING)
    await store.people_desk().create_key("b", SCOPE)
    made = await store.people_desk().create_bot("Nova", user_id=None)
    credential = await credential_of(store, made.secret)
    scopes = {1: EVERYTHING, 2: SCOPE}
    assert await store.standing([1, 2, 99], {credential: 1}) == Standing(scopes, frozenset())
    assert (await store.standing([2], {"no such": 1})).void_bots == {"no such"}
    assert (await store.standing([2], {credential: 2})).void_bots == {credential}
    assert await store.standing([], {}) == Standing({}, frozenset())


@pytest.mark.parametrize("change", [{"is_active": False}, {"revoked_at": moment(NOW)}])
async def test_a_key_that_is_off_or_revoked_is_not_valid(
    database: Database, store: Store, change: dict[str, object]
) -> None:
    """Either is enough."""
    await store.people_desk().create_key("a", EVERYTHING)
    async with database.write() as session:
        row = await session.get(AccessKey, 1)
        assert row is not None
        row.sqlmodel_update(change)
        session.add(row)
    assert (await store.standing([1], {})).keys == {}


async def test_a_replaced_or_revoked_token_is_void_and_so_is_that_of_a_bot_that_is_gone(
    database: Database, store: Store
) -> None:
    """What stands in place of a revoked token was nobody's credential."""
    desk: PeopleDesk = store.people_desk()
    first = await credential_of(store, (await desk.create_bot("Nova", user_id=None)).secret)
    second = await credential_of(store, (await desk.rotate_bot_token(1)).secret)
    assert (await store.standing([], {first: 1, second: 1})).void_bots == {first}
    await desk.revoke_bot_token(1)
    assert (await store.standing([], {first: 1, second: 1})).void_bots == {first, second}
    other = await credential_of(store, (await desk.create_bot("Vega", user_id=None)).secret)
    assert (await store.standing([], {other: 2})).void_bots == frozenset()
    async with database.write() as session:
        await session.delete(await session.get_one(Bot, 2))
    assert (await store.standing([], {other: 2})).void_bots == {other}


async def test_as_many_as_are_asked_about_at_a_time_are_told_apart(store: Store) -> None:
    """Of the most that one question may be about."""
    made = await store.people_desk().create_bot("Nova", user_id=None)
    credential = await credential_of(store, made.secret)
    asked = {f"void {number}": number for number in range(ASKED_MAX - 1)} | {credential: 1}
    found = await store.standing(list(range(ASKED_MAX)), asked)
    assert found == Standing({}, frozenset(asked) - {credential})
