from __future__ import annotations

import pytest

from relay.admin.people import EVERYTHING, Scope
from relay.broker.base import settle
from relay.errors import UnknownStream
from relay.node.revocations import Findings
from relay.protocol.events import Chunk
from relay.protocol.status import Outcome
from relay.wire.bot import Cancel
from tests.support.node import KEY, LINGZHU, World, settle_down

OUTSIDE = Scope(agents=frozenset({"another"}))


def find(world: World, keys: dict[int, Scope | None], *, ago: float = 0.0) -> None:
    """Let the node hear what a check that began `ago` seconds ago has found."""
    findings = Findings(world.node.now() - ago, keys, frozenset())
    world.node.keyed_streams.enforce(findings)


async def test_the_keys_of_all_kept_streams_are_in_use(world: World) -> None:
    """Also of those that have ended: a ticket still reads them."""
    await world.bot()
    await world.ask()
    await world.ask(key=KEY + 1, bot_id=None)
    assert set(world.node.keyed_streams.keys_in_use()) == {KEY, KEY + 1}
    assert list(world.node.keyed_streams.bots_in_use()) == []


async def test_a_revoked_key_ends_its_streams(world: World) -> None:
    """The device reads why, the bot is told to stop, and nobody reads it again. Others go on."""
    bot = await world.bot()
    view, other = await world.ask(), await world.ask(key=KEY + 1)
    reader = await world.read(view.stream_id)
    await bot.say(view.stream_id, Chunk("so far", 0))
    find(world, {KEY: None, KEY + 1: EVERYTHING})
    await settle_down()
    text = await reader.read_all()
    assert text.startswith("so far")
    assert "访问密钥已停用" in reader.end.content
    assert reader.end.outcome is Outcome.CANCELLED
    assert bot.heard(Cancel) == [Cancel(view.stream_id, "revoked")]
    assert [closed.stream_id for closed in bot.closed] == [view.stream_id]
    assert bot.told.index(bot.heard(Cancel)[0]) < bot.told.index(bot.closed[0])
    for key in (KEY, None):
        with pytest.raises(UnknownStream):
            await world.read(view.stream_id, key=key)
    await bot.chunks(other.stream_id, ["goes on"])
    await bot.end(other.stream_id, ["goes on"])
    assert await (await world.read(other.stream_id, key=KEY + 1)).read_all() == "goes on"
    row = await world.row(view.stream_id)
    assert row.outcome == "cancelled"
    assert row.anomaly is not None
    assert row.anomaly["detail"] == "its access key was revoked"


async def test_glasses_are_told_in_their_protocol(world: World) -> None:
    """The answer ends as every other does, or they would think for ever."""
    await world.bot()
    view = await world.ask()
    reader = await world.read(view.stream_id, LINGZHU)
    find(world, {KEY: None})
    await settle_down()
    await reader.read_all()
    assert b'"is_finish":true' in reader.data
    assert reader.data.count(b"event:done") + reader.data.count(b"event: done") == 1


async def test_a_legacy_bot_is_not_told(world: World) -> None:
    """It knows no such message, and its answer goes nowhere."""
    bot = await world.bot(protocol=1)
    view = await world.ask()
    reader = await world.read(view.stream_id)
    find(world, {KEY: None})
    await settle_down()
    assert bot.heard(Cancel) == []
    await bot.say(view.stream_id, Chunk("late", 0))
    assert "late" not in await reader.read_all()
    assert reader.end.outcome is Outcome.CANCELLED


async def test_a_stream_that_has_ended_is_read_by_nobody_any_more(world: World) -> None:
    """Its retention is not over, but whoever may read it is gone."""
    view = await world.ask(bot_id=None)
    await (await world.read(view.stream_id)).read_all()
    find(world, {KEY: None})
    with pytest.raises(UnknownStream):
        await world.read(view.stream_id, key=None)


async def test_a_narrowed_scope_ends_what_lies_outside_of_it(world: World) -> None:
    """And leaves what lies within."""
    bot = await world.bot()
    view, within = await world.ask(), await world.ask(key=KEY + 1)
    reader = await world.read(view.stream_id)
    find(world, {KEY: OUTSIDE, KEY + 1: Scope(bots=frozenset({1}))})
    await settle_down()
    await reader.read_all()
    assert "不能用来问" in reader.end.content
    assert bot.heard(Cancel) == [Cancel(view.stream_id, "out_of_scope")]
    await world.read(within.stream_id, key=KEY + 1)


async def test_a_stream_that_was_opened_during_the_check_is_not_judged(world: World) -> None:
    """Its key may have been given a wider scope since the store was asked."""
    bot = await world.bot()
    view = await world.ask()
    find(world, {KEY: OUTSIDE}, ago=1.0)
    assert bot.heard(Cancel) == []
    await world.read(view.stream_id)


async def test_a_stream_is_ended_once(world: World) -> None:
    """The next check finds it withdrawn already."""
    bot = await world.bot()
    await world.ask()
    for _ in range(2):
        find(world, {KEY: None})
        await settle_down()
    assert len(bot.heard(Cancel)) == len(bot.closed) == 1


async def test_an_owner_whose_log_is_away_ends_the_stream_when_it_is_back(world: World) -> None:
    """What is to be ended is not forgotten with a write that failed."""
    bot = await world.bot()
    view = await world.ask()
    stream = world.node.stream_of(1, view.stream_id)
    assert stream is not None
    stream.owner.dead = True
    find(world, {KEY: None})
    await settle_down()
    assert bot.closed == []
    snapshot = await settle(world.log.claim(view.stream_id))
    owner = world.node._streams._recovery.own(snapshot, stream)  # noqa: SLF001
    stream.take_over(owner, snapshot, world.node.now())
    await settle_down()
    assert [closed.outcome for closed in bot.closed] == ["cancelled"]
