"""Tokens on a real PostgreSQL, where writers do run at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from sqlmodel import select

from relay.admin.binding import BindingContext, Redeemed
from relay.admin.people import Made
from relay.clock import ManualClock
from relay.devices.binding_code import find_code
from relay.store import bindings
from relay.store.bindings import BindingDesk
from relay.store.engine import Database
from relay.store.migrate import upgrade
from relay.store.models import BindingPlace, Bot
from relay.store.store import Store
from tests.support.postgres import postgres_server, postgres_url
from tests.support.store import NOW

__all__ = ["postgres_server", "postgres_url"]

pytestmark = pytest.mark.needs("postgres", "initdb")

RELAYS = 4
"""Each with connections of its own, as behind a load balancer."""


@pytest.fixture
async def databases(postgres_url: str) -> AsyncIterator[Sequence[Database]]:
    """The same database, as several relays open it."""
    await upgrade(postgres_url)
    async with AsyncExitStack() as stack:
        opened = [Database(postgres_url) for _ in range(RELAYS)]
        for database in opened:
            stack.push_async_callback(database.close)
        yield opened


@pytest.fixture
def desks(databases: Sequence[Database]) -> list[BindingDesk]:
    """The desk of each relay."""
    return [BindingDesk(database, ManualClock(NOW), 600) for database in databases]


async def add_bots(databases: Sequence[Database], count: int) -> list[int]:
    """Add bots without users; returns their ids."""
    store = Store(databases[0], ManualClock(NOW))
    added = [await store.add_bot(f"bot {number}", f"token-{number}") for number in range(count)]
    return [bot.id for bot in added if bot.id is not None]


async def show(desks: Sequence[BindingDesk], shown: Sequence[tuple[Made, str]]) -> list[Redeemed]:
    """Let these users show these tokens at the same time, each to the next relay."""

    async def one(number: int, made: Made, user_id: str) -> Redeemed:
        desk, code = desks[number % len(desks)], find_code(made.secret)
        assert code is not None
        return (await desk.redeem(code, user_id=user_id, device_id="D")).result

    return await asyncio.gather(*(one(n, made, user) for n, (made, user) in enumerate(shown)))


async def users_of(databases: Sequence[Database]) -> list[str | None]:
    """Whom each bot answers."""
    async with databases[0].read() as session:
        return [bot.rokid_user_id for bot in await session.exec(select(Bot))]


async def test_of_many_who_show_one_token_one_is_bound(
    databases: Sequence[Database], desks: Sequence[BindingDesk]
) -> None:
    """On four relays at once; all others are told that it is used."""
    (bot_id,) = await add_bots(databases, 1)
    for _ in range(5):
        made = await desks[0].create_binding(bot_id)
        results = await show(desks, [(made, f"U{number}") for number in range(12)])
        assert sorted(results) == [Redeemed.BOUND, *[Redeemed.USED] * 11]
        assert await users_of(databases) == [f"U{results.index(Redeemed.BOUND)}"]
        await desks[1].unbind(bot_id)


async def test_of_many_tokens_of_one_bot_one_binds(
    databases: Sequence[Database], desks: Sequence[BindingDesk]
) -> None:
    """The bot is never taken from the first one, and the other tokens stay unused."""
    (bot_id,) = await add_bots(databases, 1)
    tokens = [await desks[0].create_binding(bot_id) for _ in range(8)]
    results = await show(desks, [(made, f"U{n}") for n, made in enumerate(tokens)])
    assert sorted(results) == [Redeemed.BOT_TAKEN] * 7 + [Redeemed.BOUND]
    unused = [record for record in await desks[0].list_bindings() if record.used_at is None]
    assert len(unused) == 7


async def test_a_user_who_shows_many_tokens_gets_one_bot(
    databases: Sequence[Database], desks: Sequence[BindingDesk]
) -> None:
    """The column is unique: whoever loses the race is told so, and nothing of it is written."""
    bot_ids = await add_bots(databases, 8)
    tokens = [await desks[0].create_binding(bot_id) for bot_id in bot_ids]
    results = await show(desks, [(made, "U1") for made in tokens])
    assert sorted(results) == [Redeemed.BOUND, *[Redeemed.USER_TAKEN] * 7]
    assert sorted(user or "" for user in await users_of(databases)) == [""] * 7 + ["U1"]
    unused = [record for record in await desks[0].list_bindings() if record.used_at is None]
    assert len(unused) == 7


async def test_a_place_is_remembered_by_all_at_once(
    databases: Sequence[Database], desks: Sequence[BindingDesk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same one twice is harmless, and what is kept is bounded."""
    monkeypatch.setattr(bindings, "CONTEXTS_MAX", 5)
    same = BindingContext("1772157600000", "a" * 32, 1, "U1")
    await asyncio.gather(*(desk.remember(same) for desk in desks for _ in range(3)))
    assert await desks[0].recall(same)
    for number in range(10):
        await desks[1].remember(BindingContext("c", "a", 1, f"U{number}"))
    assert not await desks[2].recall(same)
    async with databases[0].read() as session:
        assert len((await session.exec(select(BindingPlace))).all()) == 5
