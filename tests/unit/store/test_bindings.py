from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import col, select

from relay.admin.binding import BindingContext, Redeemed, Redemption
from relay.admin.people import BindingRecord, Made
from relay.clock import ManualClock
from relay.devices.binding_code import find_code, is_code
from relay.errors import BadRequest, NotFound, StoreError
from relay.store import bindings, bots
from relay.store.bindings import BindingDesk, code_hash, new_code
from relay.store.engine import Database
from relay.store.models import BindingPlace, BindingToken, Bot
from relay.store.store import Store
from tests.support.store import NOW

TTL_S = 600.0
DEVICE = "a" * 32
PLACE = BindingContext("1772157600000", DEVICE, 1, "U1")


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> BindingDesk:
    """A desk over a file of its own."""
    return BindingDesk(database, clock, TTL_S)


@pytest.fixture
async def bot_id(store: Store) -> int:
    """A bot without a user."""
    return await add_bot(store, "weather")


async def add_bot(store: Store, name: str, user_id: str | None = None) -> int:
    """Add a bot; returns its id."""
    bot = await store.add_bot(name, f"token-of-{name}", user_id=user_id)
    assert bot.id is not None
    return bot.id


def code_of(made: Made) -> str:
    """The token as the glasses' words are read."""
    code = find_code(made.secret)
    assert code is not None
    return code


async def redeem(desk: BindingDesk, made: Made, user_id: str = "U1") -> Redeemed:
    """Show a token; returns what came of it."""
    return (await desk.redeem(code_of(made), user_id=user_id, device_id=DEVICE)).result


async def user_of(database: Database, bot_id: int) -> tuple[str | None, str | None]:
    """Whom a bot answers, and on which device."""
    async with database.read() as session:
        bot = await session.get(Bot, bot_id)
    assert bot is not None
    return bot.rokid_user_id, bot.rokid_device_id


def test_a_new_token_is_a_code_of_its_own() -> None:
    """A thousand of them: each in the alphabet, none twice."""
    codes = {new_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert all(is_code(code) for code in codes)


async def test_a_token_binds_its_user_and_names_the_bot(
    desk: BindingDesk, database: Database, bot_id: int
) -> None:
    """The user's next question finds the bot, and the token says who used it."""
    made = await desk.create_binding(bot_id)
    redemption = await desk.redeem(code_of(made), user_id="U1", device_id=DEVICE)
    assert (redemption.result, redemption.bot_id, redemption.bot_name) == (
        Redeemed.BOUND,
        bot_id,
        "weather",
    )
    assert await user_of(database, bot_id) == ("U1", DEVICE)
    record = (await desk.list_bindings())[0]
    assert (record.used_at, record.user_id, record.device_id) == (NOW, "U1", DEVICE)


async def test_a_token_is_shown_in_groups_and_kept_as_a_hash(
    desk: BindingDesk, database: Database, bot_id: int, tmp_path: Path
) -> None:
    """Two characters in clear for operators; no copy of the database holds more."""
    made = await desk.create_binding(bot_id)
    assert len(made.secret) == 11
    assert made.secret[5] == "-"
    assert isinstance(made.record, BindingRecord)
    assert made.record.token_prefix == made.secret[:2]
    assert made.record.expires_at - made.record.created_at == TTL_S
    await database.close()
    files = list(tmp_path.iterdir())  # noqa: ASYNC240 - a small folder of this test
    stored = b"".join(path.read_bytes() for path in files)
    assert code_of(made).encode() not in stored
    assert made.secret.encode() not in stored


def test_a_hash_takes_too_long_to_try_all_tokens() -> None:
    """A plain SHA-256 takes a microsecond; 50 bits would be searched in hours."""
    began = time.perf_counter()
    assert code_hash("7KDQ4XMB2T") != code_hash("7KDQ4XMB2V")
    assert time.perf_counter() - began > 0.005


@pytest.mark.parametrize("token", ["7KDQ4XMB2T", "", "nonsense", "7KDQ4-XMB2T"])
async def test_an_unknown_token_binds_nobody(desk: BindingDesk, token: str) -> None:
    """Also what cannot be one."""
    redemption = await desk.redeem(token, user_id="U1", device_id=DEVICE)
    assert (redemption.result, redemption.bot_id) == (Redeemed.UNKNOWN, None)


async def test_a_token_is_used_once(desk: BindingDesk, database: Database, bot_id: int) -> None:
    """Also after the bot was unbound again."""
    made = await desk.create_binding(bot_id)
    assert await redeem(desk, made) is Redeemed.BOUND
    assert await redeem(desk, made, "U2") is Redeemed.USED
    await desk.unbind(bot_id)
    assert await redeem(desk, made, "U2") is Redeemed.USED
    assert await user_of(database, bot_id) == (None, None)


async def test_a_token_expires_to_the_second(
    desk: BindingDesk, clock: ManualClock, bot_id: int
) -> None:
    """It is of use right before its time is up, and of none at it."""
    early, late = await desk.create_binding(bot_id), await desk.create_binding(bot_id)
    clock.advance(TTL_S - 0.001)
    assert await redeem(desk, early) is Redeemed.BOUND
    await desk.unbind(bot_id)
    clock.advance(0.001)
    assert await redeem(desk, late) is Redeemed.EXPIRED


async def test_a_bot_is_never_taken_from_its_user(
    desk: BindingDesk, database: Database, bot_id: int
) -> None:
    """The second token of a bot is not even used up."""
    first, second = await desk.create_binding(bot_id), await desk.create_binding(bot_id)
    assert await redeem(desk, first, "U1") is Redeemed.BOUND
    assert await redeem(desk, second, "U2") is Redeemed.BOT_TAKEN
    assert await user_of(database, bot_id) == ("U1", DEVICE)
    await desk.unbind(bot_id)
    assert await redeem(desk, second, "U2") is Redeemed.BOUND


async def test_a_user_has_one_bot(desk: BindingDesk, store: Store, bot_id: int) -> None:
    """A token of another bot is refused, and stays as it is."""
    await add_bot(store, "other", user_id="U1")
    made = await desk.create_binding(bot_id)
    assert await redeem(desk, made, "U1") is Redeemed.USER_TAKEN
    assert await redeem(desk, made, "U2") is Redeemed.BOUND


async def test_a_user_who_got_a_bot_meanwhile_is_told_so(
    desk: BindingDesk,
    database: Database,
    store: Store,
    bot_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the look and the write, as only a server lets it happen: the column is unique."""

    async def not_yet(*_: object) -> None:
        return None

    await add_bot(store, "other", user_id="U1")
    made = await desk.create_binding(bot_id)
    with monkeypatch.context() as patch:
        patch.setattr(bots, "by_user", not_yet)
        redemption = await desk.redeem(code_of(made), user_id="U1", device_id=DEVICE)
    assert redemption == Redemption(Redeemed.USER_TAKEN, bot_id, "weather")
    assert await redeem(desk, made, "U2") is Redeemed.BOUND


async def test_of_two_who_show_one_token_one_is_bound(
    desk: BindingDesk, database: Database, bot_id: int
) -> None:
    """Ten at the same time, on a file that waits for its writers."""
    made = await desk.create_binding(bot_id)
    users = [f"U{number}" for number in range(10)]
    results = await asyncio.gather(*(redeem(desk, made, user) for user in users))
    assert sorted(results) == [Redeemed.BOUND, *[Redeemed.USED] * 9]
    winner = users[results.index(Redeemed.BOUND)]
    assert await user_of(database, bot_id) == (winner, DEVICE)


async def test_a_deleted_token_is_unknown_and_what_it_bound_stays(
    desk: BindingDesk, database: Database, bot_id: int
) -> None:
    """Deleting is for tokens that were lost or seen by others."""
    used, unused = await desk.create_binding(bot_id), await desk.create_binding(bot_id)
    assert await redeem(desk, used) is Redeemed.BOUND
    for made in (used, unused):
        assert isinstance(made.record, BindingRecord)
        await desk.delete_binding(made.record.binding_id)
    assert await redeem(desk, unused, "U2") is Redeemed.UNKNOWN
    assert await user_of(database, bot_id) == ("U1", DEVICE)
    assert await desk.list_bindings() == []


async def test_the_newest_token_is_listed_first(desk: BindingDesk, bot_id: int) -> None:
    """As an operator who has just made one looks for it."""
    made = [await desk.create_binding(bot_id) for _ in range(3)]
    assert await desk.list_bindings() == [one.record for one in reversed(made)]


async def test_tokens_are_forgotten_a_month_after_they_expired(
    desk: BindingDesk, clock: ManualClock, bot_id: int
) -> None:
    """Making the next one clears the old ones away."""
    first = await desk.create_binding(bot_id)
    clock.advance(TTL_S + bindings.KEPT_S - 1)
    second = await desk.create_binding(bot_id)
    assert await desk.list_bindings() == [second.record, first.record]
    clock.advance(1)
    third = await desk.create_binding(bot_id)
    assert await desk.list_bindings() == [third.record, second.record]


async def test_a_bot_with_a_user_gets_no_token(desk: BindingDesk, store: Store) -> None:
    """It could never be used; the operator is told what to do."""
    bot_id = await add_bot(store, "taken", user_id="U1")
    with pytest.raises(BadRequest, match="unbind it first"):
        await desk.create_binding(bot_id)


async def test_what_is_not_there_is_not_found(desk: BindingDesk) -> None:
    """A bot and a token that nobody made."""
    with pytest.raises(NotFound, match="no bot 99"):
        await desk.create_binding(99)
    with pytest.raises(NotFound, match="no bot 99"):
        await desk.unbind(99)
    with pytest.raises(NotFound, match="no binding token 99"):
        await desk.delete_binding(99)


async def test_unbinding_parts_user_device_and_bot(
    desk: BindingDesk, database: Database, bot_id: int
) -> None:
    """And repeats harmlessly."""
    await redeem(desk, await desk.create_binding(bot_id))
    for _ in range(2):
        record = await desk.unbind(bot_id)
        assert (record.bot_id, record.user_id, record.device_id) == (bot_id, None, None)
        assert await user_of(database, bot_id) == (None, None)


# --- where a photo was asked for ----------------------------------------------------------


async def test_a_place_is_recalled_by_another_relay(
    desk: BindingDesk, database: Database, clock: ManualClock
) -> None:
    """It is in the database: a restart between question and photo is not noticed."""
    await desk.remember(PLACE)
    await desk.remember(PLACE)
    assert await BindingDesk(database, clock, TTL_S).recall(PLACE)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLACE, conversation_id="1772157600001"),
        replace(PLACE, agent_id="b" * 32),
        replace(PLACE, access_key_id=2),
        replace(PLACE, user_id="U2"),
        replace(PLACE, conversation_id=f"{PLACE.conversation_id}{DEVICE}", agent_id=""),
    ],
)
async def test_nobody_else_is_in_that_place(desk: BindingDesk, other: BindingContext) -> None:
    """Another user, key, agent or conversation was not asked."""
    await desk.remember(PLACE)
    assert not await desk.recall(other)


async def test_a_place_is_forgotten_in_time(desk: BindingDesk, clock: ManualClock) -> None:
    """Asking again makes it new."""
    await desk.remember(PLACE)
    clock.advance(bindings.CONTEXT_S - 1)
    assert await desk.recall(PLACE)
    await desk.remember(PLACE)
    clock.advance(bindings.CONTEXT_S - 1)
    assert await desk.recall(PLACE)
    clock.advance(1)
    assert not await desk.recall(PLACE)


async def test_places_are_bounded(
    desk: BindingDesk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest make room; the newest are there."""
    monkeypatch.setattr(bindings, "CONTEXTS_MAX", 3)
    places = [replace(PLACE, user_id=f"U{number}") for number in range(5)]
    for place in places:
        await desk.remember(place)
    assert [await desk.recall(place) for place in places] == [False, False, True, True, True]
    async with database.read() as session:
        assert len((await session.exec(select(BindingPlace))).all()) == 3


async def test_expired_places_are_swept(
    desk: BindingDesk, database: Database, clock: ManualClock
) -> None:
    """By the next one that is asked."""
    await desk.remember(PLACE)
    clock.advance(bindings.CONTEXT_S)
    await desk.remember(replace(PLACE, user_id="U2"))
    async with database.read() as session:
        assert len((await session.exec(select(BindingPlace))).all()) == 1


async def test_a_database_that_fails_says_so(database: Database, clock: ManualClock) -> None:
    """As everything of the store: `StoreError`, and nothing of the token in it."""
    async with database.write() as session:
        await (await session.connection()).exec_driver_sql("DROP TABLE binding_tokens")
    with pytest.raises(StoreError) as caught:
        await BindingDesk(database, clock, TTL_S).redeem(
            "7KDQ4XMB2T", user_id="U1", device_id=DEVICE
        )
    assert "7KDQ4" not in str(caught.value)


async def test_a_refusal_leaves_nothing_written(
    desk: BindingDesk, database: Database, store: Store, bot_id: int
) -> None:
    """The token's row is as it was."""
    made = await desk.create_binding(bot_id)
    await add_bot(store, "other", user_id="U1")
    await redeem(desk, made, "U1")
    async with database.read() as session:
        row = (await session.exec(select(BindingToken).where(col(BindingToken.id) == 1))).one()
    assert (row.used_at, row.user_id, row.device_id) == (None, None, None)
