"""What a device notices of several nodes: it reads on any of them, and from one log only."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.base import LogSnapshot, LogState
from relay.errors import BrokerUnavailable, PositionGone, UnknownStream
from relay.protocol.events import Entry, EntryKind, Position
from tests.support.node import KEY, NOW, World
from tests.support.several import TEXTS, Nodes, ask


async def test_a_device_reads_on_at_another_node(nodes: Nodes) -> None:
    """Its node died: the position leads on, nothing twice, and the row says all was delivered."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    await reader.read()
    nodes.shared.kill("a")
    position = Position(reader.subscription.view.epoch, 2)
    resumed = await elsewhere.read(stream, after=position)
    await bot.chunks(stream, TEXTS, 2, 3)
    await bot.end(stream, TEXTS)
    assert await resumed.read_all() == "three four"
    await elsewhere.advance(0.0)
    row = await there.row(stream)
    assert (row.status, row.sse_chunk_count, row.missing_sequences) == ("completed", 4, [])


@pytest.mark.parametrize("key", [8, None])
async def test_only_who_opened_a_stream_reads_it_on_another_node(
    nodes: Nodes, key: int | None
) -> None:
    """Another key is told that there is none; a ticket (no key) was checked before."""
    here, there = nodes.start("a"), nodes.start("b")
    await here.bot()
    stream = await ask(here)
    if key is None:
        await there.read(stream, key=None)
        return
    with pytest.raises(UnknownStream):
        await there.read(stream, key=key)


@pytest.mark.parametrize("owner_is_gone", [False, True])
async def test_a_conversation_is_found_from_every_node(nodes: Nodes, owner_is_gone: bool) -> None:
    """A worker that knows no stream's id gets the newest, also where an older one is read."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()

    async def find(node: World, *, key: int = KEY, bot_id: int = 1) -> str:
        return await node.node.find_stream(access_key_id=key, bot_id=bot_id, session_id="c")

    older = await ask(there)
    assert await find(elsewhere) == older
    newer = await ask(here)
    await bot.chunks(newer, TEXTS)
    if owner_is_gone:
        nodes.shared.kill("b")
    for node in (here, elsewhere):
        assert await find(node) == newer
        assert (await (await node.read(newer)).read()).offset == 4
        for stranger in ({"key": KEY + 1}, {"bot_id": 2}):
            with pytest.raises(UnknownStream):
                await find(node, **stranger)


async def test_a_conversation_whose_stream_is_gone_is_unknown(nodes: Nodes) -> None:
    """Its log was dropped; the key that names it lives a little longer."""
    here, there = nodes.start("a"), nodes.start("b")
    await here.bot()
    nodes.shared.log.drop(await ask(here))
    with pytest.raises(UnknownStream):
        await there.node.find_stream(access_key_id=KEY, bot_id=1, session_id="c")


def make_again(nodes: Nodes, stream: str, contents: list[str]) -> LogSnapshot:
    """Lose a log, and let another node make it again for a bot that sends everything anew."""
    meta = nodes.shared.log.describe(stream).meta
    nodes.shared.log.drop(stream)
    made = nodes.shared.log.create(meta)
    entries = [
        Entry(number + 1, EntryKind.CHUNK, NOW, content, number)
        for number, content in enumerate(contents)
    ]
    nodes.shared.log.append(stream, made.fence, 1, entries, ())
    return made


async def test_a_reader_of_a_log_that_was_lost_never_goes_on_in_the_next(nodes: Nodes) -> None:
    """It is ended; who comes back with the old position starts over, and is told so."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 0, 1)
    reader = await here.read(stream)
    await reader.read()
    old = Position(reader.subscription.view.epoch, 2)
    made = make_again(nodes, stream, ["ONE ", "TWO ", "THREE "])
    with pytest.raises(UnknownStream):
        await reader.read()
    back = await here.read(stream, after=old)
    assert back.subscription.reset
    assert back.subscription.view.epoch == made.epoch
    assert (await back.read()).offset == 3
    assert (reader.text, back.text) == ("one two ", "ONE TWO THREE ")


async def test_an_owner_of_a_log_that_was_lost_writes_nothing_to_the_next(nodes: Nodes) -> None:
    """It lets go, though its offset fits; its readers end, and start over in the new log."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 0, 1)
    reader = await there.read(stream)
    await reader.read()
    old = Position(reader.subscription.view.epoch, 2)
    made = make_again(nodes, stream, ["ONE ", "TWO "])
    bot.link.detach()
    await there.advance(9.0)
    assert [entry.content for entry in nodes.shared.log.read(stream, 0, 9)] == ["ONE ", "TWO "]
    with pytest.raises(UnknownStream):
        await reader.read()
    back = await there.read(stream, after=old)
    assert (back.subscription.reset, back.subscription.view.epoch) == (True, made.epoch)


async def test_an_owner_with_its_bot_takes_no_log_that_was_made_again(nodes: Nodes) -> None:
    """The bot is at another node as well, which nobody here has heard of yet."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 0, 1)
    made = make_again(nodes, stream, ["ONE ", "TWO "])
    saying = asyncio.ensure_future(bot.chunks(stream, TEXTS, 2))
    await there.advance(5.0)
    bot.link.detach()
    await there.advance(1.0)
    await saying
    last = Entry(3, EntryKind.CHUNK, NOW, "THREE", 2)
    nodes.shared.log.append(stream, made.fence, 3, [last], ())
    assert await there.node.resume_stream(bot.link, stream, "") is False


async def test_a_broker_that_is_away_keeps_no_reader_from_what_is_followed(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node knows the stream; the reader waits for the broker."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await here.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 0)
    await there.read(stream)

    async def away(stream_id: str) -> LogState:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(there.log, "describe", away)
    assert (await (await there.read(stream)).read()).offset == 1
    with pytest.raises(BrokerUnavailable):
        await there.read("another")


async def test_a_position_behind_the_log_is_refused_on_another_node_too(nodes: Nodes) -> None:
    """The node that only follows asks the log, and not its memory."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await here.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 0)
    epoch = (await there.read(stream)).subscription.view.epoch
    await there.read(stream, after=Position(epoch, 1))
    with pytest.raises(PositionGone):
        await there.read(stream, after=Position(epoch, 2))


async def test_a_followed_stream_that_nobody_reads_is_forgotten(nodes: Nodes) -> None:
    """After the retention; whoever asks again finds it in the log, as long as there is one."""
    here, there = nodes.start("a"), nodes.start("b")
    await here.bot()
    stream = await ask(here)
    reader = await there.read(stream)
    kept = there.node._registry.kept  # noqa: SLF001 - nobody else needs to know
    await there.advance(400.0)
    assert kept(stream) is not None
    reader.subscription.close()
    await there.advance(302.0)
    assert kept(stream) is None
