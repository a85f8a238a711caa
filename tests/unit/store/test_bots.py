from __future__ import annotations

import pytest

from relay.errors import BadRequest
from relay.store import bots
from relay.store.engine import Database
from relay.store.models import Bot
from tests.support.store import NOW


async def add(
    database: Database, name: str = "Nova", token: str = "t" * 64, user_id: str | None = None
) -> Bot:
    """Add a bot in a transaction of its own."""
    async with database.write() as session:
        return await bots.add(session, name, token, user_id=user_id, now=NOW)


async def test_a_bot_is_found_by_its_token_its_user_and_its_id(database: Database) -> None:
    """Each of the three names one bot."""
    bot = await add(database, user_id="u1")
    other = await add(database, token="o" * 64, user_id="u2")
    assert bot.id is not None
    async with database.read() as session:
        by_token = await bots.by_token(session, "t" * 64)
        by_user = await bots.by_user(session, "u2")
        by_id = await bots.get(session, bot.id)
    assert (by_token and by_token.id) == (by_id and by_id.id) == bot.id
    assert (by_user and by_user.id) == other.id


async def test_what_is_not_there_is_none(database: Database) -> None:
    """Another token, another user, a bot without a user."""
    await add(database)
    async with database.read() as session:
        assert await bots.by_token(session, "x" * 64) is None
        assert await bots.by_token(session, "") is None
        assert await bots.by_user(session, "u1") is None
        assert await bots.by_user(session, "") is None
        assert await bots.get(session, 99) is None


async def test_the_token_is_not_in_the_table(database: Database) -> None:
    """A copy of the database lets nobody in."""
    token = "0123456789abcdef" * 4
    bot = await add(database, token=token)
    assert token not in repr(bot.model_dump())
    async with database.read() as session:
        assert await bots.by_token(session, bot.token_hash) is None


async def test_a_user_belongs_to_one_bot(database: Database) -> None:
    """The message names the bot that has the user."""
    first = await add(database, user_id="u1")
    with pytest.raises(BadRequest, match=rf"bot {first.id} \(Nova\)") as caught:
        await add(database, token="o" * 64, user_id="u1")
    assert caught.value.field == "user_id"


async def test_a_token_belongs_to_one_bot(database: Database) -> None:
    """And the bot that has it stays as it is."""
    first = await add(database)
    with pytest.raises(BadRequest, match="another bot has this token"):
        await add(database, name="Other")
    async with database.read() as session:
        found = await bots.by_token(session, "t" * 64)
    assert (found and found.name) == first.name


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\nb", "a\x00b", "\ud83e"])
async def test_a_name_that_cannot_be_one_is_refused(database: Database, name: str) -> None:
    """1 to 255 printable characters."""
    with pytest.raises(BadRequest, match="1 to 255"):
        await add(database, name=name)


async def test_a_name_loses_the_blanks_around_it(database: Database) -> None:
    """Others stay."""
    assert (await add(database, name=" 小助手 🦞 ")).name == "小助手 🦞"


async def test_a_replaced_token_is_of_no_use_any_more(database: Database) -> None:
    """The new one is, at once."""
    bot = await add(database)
    async with database.write() as session:
        await bots.replace_token(session, bot, "n" * 64, now=NOW + 1)
    async with database.read() as session:
        assert await bots.by_token(session, "t" * 64) is None
        found = await bots.by_token(session, "n" * 64)
    assert found is not None
    assert found.id == bot.id
    assert found.updated_at.timestamp() == NOW + 1
    assert found.token_prefix == "n" * 8


async def test_a_revoked_token_is_of_no_use_and_another_brings_the_bot_back(
    database: Database,
) -> None:
    """Neither the token nor what stands in its place opens anything; the user stays bound."""
    bot = await add(database, user_id="u1")
    async with database.write() as session:
        await bots.revoke(session, bot, now=NOW + 1)
    assert bots.is_revoked(bot)
    async with database.read() as session:
        assert await bots.by_token(session, "t" * 64) is None
        assert await bots.by_token(session, bot.token_hash) is None
        found = await bots.by_user(session, "u1")
    assert found is not None
    assert (found.id, found.token_prefix, found.updated_at.timestamp()) == (bot.id, "", NOW + 1)
    async with database.write() as session:
        await bots.replace_token(session, bot, "n" * 64, now=NOW + 2)
    assert not bots.is_revoked(bot)


async def test_two_bots_can_be_revoked(database: Database) -> None:
    """What stands in place of a hash is unique, too."""
    both = [await add(database), await add(database, token="o" * 64)]
    async with database.write() as session:
        for bot in both:
            await bots.revoke(session, bot, now=NOW)
    async with database.read() as session:
        assert [bots.is_revoked(bot) for bot in await bots.everyone(session)] == [True, True]


async def test_a_bot_is_meant_by_its_id_or_its_name(database: Database) -> None:
    """An id goes first; a name that several have needs one."""
    await add(database, "Nova", "1" * 64)
    await add(database, "1", "2" * 64)
    await add(database, "77", "3" * 64)
    await add(database, "Twin", "4" * 64)
    await add(database, "Twin", "5" * 64)
    async with database.read() as session:
        for given, bot_id in (("Nova", 1), ("1", 1), ("77", 3), ("5", 5)):
            assert (await bots.named(session, given)).id == bot_id
        with pytest.raises(BadRequest, match="several are called Twin; give an id: 4, 5"):
            await bots.named(session, "Twin")
        for unknown in ("nova", "", "99", "9" * 30, "١"):
            with pytest.raises(BadRequest, match=f"there is no bot {unknown}"):
                await bots.named(session, unknown)


async def test_all_bots_are_listed_oldest_first(database: Database) -> None:
    """By id."""
    for number in range(3):
        await add(database, f"bot {number}", str(number) * 64)
    async with database.read() as session:
        names = [bot.name for bot in await bots.everyone(session)]
    assert names == ["bot 0", "bot 1", "bot 2"]
