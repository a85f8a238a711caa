from __future__ import annotations

import pytest

from relay.admin.people import EVERYTHING, Scope
from relay.node.revocations import Standing
from relay.store.engine import Database
from relay.store.models import AccessKey, Bot, moment
from relay.store.people import PeopleDesk
from relay.store.standing import standing
from relay.store.store import Store
from tests.support.store import NOW

SCOPE = Scope(users=frozenset({"u"}))


async def ask(store: Store, keys: list[int], bots: list[int]) -> Standing:
    """What the store knows."""
    return await store.standing(keys, bots)


async def test_a_valid_key_has_its_scope_and_a_bot_its_credential(store: Store) -> None:
    """The credential is the one that its identity carries."""
    await store.people_desk().create_key("a", EVERYTHING)
    await store.people_desk().create_key("b", SCOPE)
    made = await store.people_desk().create_bot("Nova", user_id=None)
    bot = await store.bot_by_token(made.secret)
    assert bot is not None
    assert await ask(store, [1, 2, 99], [1, 99]) == Standing(
        {1: EVERYTHING, 2: SCOPE}, {1: bot.token_hash}
    )
    assert await ask(store, [], []) == Standing({}, {})
    assert (await ask(store, [2], [])).keys == {2: SCOPE}


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
    assert (await ask(store, [1], [])).keys == {}


async def test_a_bot_with_another_token_has_another_credential(
    database: Database, store: Store
) -> None:
    """And one whose token was revoked has none that anybody could have come with."""
    desk: PeopleDesk = store.people_desk()
    await desk.create_bot("Nova", user_id=None)
    seen = [(await ask(store, [], [1])).bots[1]]
    await desk.rotate_bot_token(1)
    seen.append((await ask(store, [], [1])).bots[1])
    await desk.revoke_bot_token(1)
    seen.append((await ask(store, [], [1])).bots[1])
    assert len(set(seen)) == 3
    async with database.write() as session:
        await session.delete(await session.get_one(Bot, 1))
    async with database.read() as session:
        assert (await standing(session, [], [1])).bots == {}
