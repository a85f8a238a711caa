"""What a bot notices of a node that is gone: it is asked, once, and its answer goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from relay.broker.base import NO_NOTES, Letter, LogSnapshot, Notes, StreamMeta
from relay.errors import BrokerUnavailable
from relay.node import node
from relay.protocol.events import Chunk, End, Entry, HeldChunk, Summary
from relay.protocol.status import Outcome
from relay.protocol.texthash import content_hash
from relay.wire.bot import Acked, Command, Refused, Resume
from tests.support.cluster import NodeBroker
from tests.support.node import Bot, settle_down
from tests.support.several import TEXTS, WHOLE, Nodes, ask, asked, open_at, reader_on


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("back_at", ["a", "c"], ids=["the asking node", "another"])
async def test_a_command_whose_node_dies_with_it_is_sent_again(
    nodes: Nodes, back_at: str, protocol: int
) -> None:
    """The bot never saw it. It is not told of the stream first: it would give it up."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    await there.bot(protocol=protocol)
    nodes.shared.kill("b")
    stream = await ask(here)
    reader = await here.read(stream)
    owner = {"a": here, "c": elsewhere}[back_at]
    back = await owner.bot(protocol=protocol)
    await here.advance(0.0)
    assert open_at(back) == []
    assert asked(back) == [stream]
    await back.chunks(stream, TEXTS)
    await back.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE
    await here.advance(0.0)
    assert (await owner.row(stream)).status == "completed"


async def test_a_command_outlives_both_its_nodes(nodes: Nodes) -> None:
    """The one that asked, too: the command is kept with the log."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    await there.bot()
    nodes.shared.kill("b")
    stream = await ask(here)
    nodes.shared.kill("a")
    back = await elsewhere.bot()
    assert asked(back) == [stream]
    (command,) = back.heard(Command)
    assert command.resume
    assert command.credit == 256


async def test_a_bot_that_said_nothing_yet_is_asked_again_and_not_told_of_the_stream(
    nodes: Nodes,
) -> None:
    """Protocol 2: one that knows the stream ignores the command and resumes it by its voucher."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    (command,) = bot.heard(Command)
    nodes.shared.kill("b")
    back = await elsewhere.bot()
    assert (open_at(back), asked(back)) == ([], [stream])
    await back.link.resume(Resume(stream, command.resume))
    assert [ack.next_sequence for ack in back.heard(Acked)] == [0]
    again = await elsewhere.bot()
    assert (open_at(again), asked(again)) == ([stream], [])


async def test_a_bot_that_has_begun_is_not_asked_again(nodes: Nodes) -> None:
    """One early chunk is enough to know that it has the command."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 2)
    nodes.shared.kill("b")
    back = await elsewhere.bot()
    assert (open_at(back), asked(back)) == ([stream], [])


async def test_a_legacy_bot_is_never_asked_twice(nodes: Nodes) -> None:
    """It was asked, and its node died before it said anything: what it says then is taken."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot(protocol=1)
    stream = await ask(here)
    assert asked(bot) == [stream]
    reader = await here.read(stream)
    nodes.shared.kill("b")
    back = await elsewhere.bot(protocol=1)
    await elsewhere.advance(0.0)
    assert asked(back) == []
    await back.chunks(stream, TEXTS)
    await back.say(stream, End())
    await elsewhere.advance(2.1)
    assert await reader.read_all() == WHOLE


async def test_a_legacy_bot_is_asked_once_it_is_written_that_it_is(nodes: Nodes) -> None:
    """Its node dies between the two: the bot was not asked, and nobody can know that."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot(protocol=1)
    nodes.shared.last_words = "b"
    stream = await ask(here)
    assert asked(bot) == []
    back = await elsewhere.bot(protocol=1)
    await elsewhere.advance(0.0)
    assert asked(back) == []
    reader = await here.read(stream)
    await back.chunks(stream, TEXTS)
    await back.say(stream, End())
    await elsewhere.advance(2.1)
    assert await reader.read_all() == WHOLE


async def test_a_letter_that_is_lost_is_posted_again(nodes: Nodes) -> None:
    """The bot's node lives, and never got it."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    nodes.shared.lossy = True
    stream = await ask(here)
    await here.advance(1.9)
    assert asked(bot) == []
    nodes.shared.lossy = False
    await here.advance(1.1)
    assert asked(bot) == [stream]
    await here.advance(5.0)
    assert asked(bot) == [stream]


async def test_a_bot_that_is_never_back_to_be_asked_ends_its_stream(nodes: Nodes) -> None:
    """Its grace begins when nobody listens for it any more, and not with the idle limit."""
    here, there = nodes.start("a"), nodes.start("b")
    await there.bot()
    nodes.shared.kill("b")
    stream = await ask(here)
    reader = await here.read(stream)
    await here.advance(10.0)
    nodes.shared.forgotten = True
    await here.advance(9.1)
    await reader.read_all()
    assert reader.end.outcome is Outcome.BOT_GONE


async def test_a_question_that_reaches_a_connection_on_its_way_out_follows_the_bot(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked between the look at what the bot has open and its listening."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    old = await there.bot()
    streams: list[str] = []
    broker = elsewhere.mailbox
    assert isinstance(broker, NodeBroker)
    listen = broker.listen

    async def late(
        bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> int:
        streams.append(await ask(here))
        return await listen(bot_id, deliver, replaced)

    monkeypatch.setattr(broker, "listen", late)
    new = await elsewhere.bot()
    assert (asked(old), asked(new)) == (streams, streams)
    reader = await here.read(streams[0])
    await new.chunks(streams[0], TEXTS)
    await new.end(streams[0], TEXTS)
    assert await reader.read_all() == WHOLE


async def test_a_legacy_bot_that_comes_back_while_it_is_asked_is_asked(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection claims what is being opened here; the note of the asking is written anew."""
    here = nodes.start("a")
    await here.bot(protocol=1)
    broker = here.log
    assert isinstance(broker, NodeBroker)
    create, claim, append = broker.create, broker.claim, broker.append
    claimed, writing = asyncio.Event(), asyncio.Event()
    coming: list[asyncio.Task[Bot]] = []

    async def late_create(meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        made = await create(meta, notes)
        coming.append(asyncio.create_task(here.bot(protocol=1)))
        await claimed.wait()
        return made

    async def late_claim(stream_id: str, epoch: str | None = None) -> LogSnapshot:
        snapshot = await claim(stream_id, epoch)
        claimed.set()
        await writing.wait()
        return snapshot

    async def late_append(
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        writing.set()
        await settle_down()
        await append(stream_id, fence, offset, entries, held, notes)

    for late in (late_create, late_claim, late_append):
        monkeypatch.setattr(broker, late.__name__.removeprefix("late_"), late)
    stream = await ask(here)
    await here.advance(0.0)
    back = await coming[0]
    assert asked(back) == [stream]
    await back.chunks(stream, TEXTS)
    await back.say(stream, End())
    await here.advance(2.1)
    assert await reader_on(here, stream) == WHOLE


async def test_a_bot_of_sdk_2_0_goes_on_at_another_node(nodes: Nodes) -> None:
    """It names no stream: what it says there belongs to what it was asked here, by its own key."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot(protocol=1)
    first, second = await ask(here), await ask(here)
    await bot.say(None, Chunk("a1 "), "key-1")
    await bot.say(None, Chunk("b1 "), "key-2")
    await there.advance(0.0)
    nodes.shared.kill("b")
    back = await elsewhere.bot(protocol=1)
    readers = [await here.read(stream) for stream in (first, second)]
    await back.say(None, Chunk("b2"), "key-2")
    await back.say(None, Chunk("a2"), "key-1")
    for key in ("key-1", "key-2"):
        await back.say(None, End(), key)
    await elsewhere.advance(2.1)
    assert [await reader.read_all() for reader in readers] == ["a1 a2", "b1 b2"]


async def test_a_bot_of_sdk_2_0_goes_on_with_a_new_connection(nodes: Nodes) -> None:
    """At the same node it is no other way."""
    here = nodes.start("a")
    bot = await here.bot(protocol=1)
    stream = await ask(here)
    await bot.say(None, Chunk("one "))
    bot.link.detach()
    back = await here.bot(protocol=1)
    await back.say(None, Chunk("two"))
    await back.say(None, End())
    await here.advance(2.1)
    assert await reader_on(here, stream) == "one two"


@pytest.mark.parametrize("named", [True, False])
async def test_a_legacy_bot_whose_streams_could_not_be_claimed_loses_nothing(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """The broker was away when it came to another node: what it says waits, and is taken."""
    monkeypatch.setattr(node, "RETRY_SECONDS", 0.0)
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot(protocol=1)
    stream = await ask(here)
    await bot.say(stream, Chunk(TEXTS[0], 0 if named else None))
    nodes.shared.kill("b")
    broker = elsewhere.log
    assert isinstance(broker, NodeBroker)
    streams_of, calls = broker.streams_of, list[int]()

    async def away_for_a_while(bot_id: int) -> Sequence[str]:
        calls.append(bot_id)
        if len(calls) < 5:
            raise BrokerUnavailable("away")
        return await streams_of(bot_id)

    monkeypatch.setattr(broker, "streams_of", away_for_a_while)
    back = await elsewhere.bot(protocol=1)
    for sequence in (1, 2, 3):
        chunk = Chunk(TEXTS[sequence], sequence if named else None)
        await back.say(stream if named else None, chunk)
    await back.say(stream if named else None, End())
    await elsewhere.advance(2.1)
    assert await reader_on(here, stream) == WHOLE
    assert back.heard(Refused) == []


async def test_what_is_unknown_is_looked_for_once(nodes: Nodes) -> None:
    """Where nothing could be missed, a bot that says nonsense costs the broker nothing."""
    here = nodes.start("a")
    bot = await here.bot(protocol=1)
    nodes.shared.kill("a")
    await bot.say("nowhere", Chunk("a", 0))
    assert [refused.stream_id for refused in bot.heard(Refused)] == ["nowhere"]


async def test_a_summary_survives_its_node(nodes: Nodes) -> None:
    """It came before the end, as late chunks may: the next owner repairs with it."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot(protocol=1)
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0, 2, 3)
    await bot.say(stream, Summary(WHOLE, 4, content_hash(WHOLE)))
    nodes.shared.kill("b")
    back = await elsewhere.bot(protocol=1)
    await back.say(stream, End())
    assert await reader.read_all() == WHOLE
    assert reader.end.outcome is Outcome.REPAIRED
    await here.advance(0.0)
    row = await elsewhere.row(stream)
    assert (row.missing_sequences, row.repaired_by) == ([1], "summary")


async def test_streams_that_overlapped_are_numbered_by_arrival_after_a_takeover(
    nodes: Nodes,
) -> None:
    """The bot's counter runs through both of them, whichever node it is connected to."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot(protocol=1)
    first, second = await ask(here), await ask(here)
    await bot.say(first, Chunk("a", 0))
    await bot.say(second, Chunk("A", 1))
    await there.advance(0.0)
    nodes.shared.kill("b")
    back = await elsewhere.bot(protocol=1)
    await back.say(second, Chunk("B", 2))
    await back.say(first, Chunk("b", 3))
    for stream, text in ((first, "ab"), (second, "AB")):
        await back.say(stream, End())
        await elsewhere.advance(0.2)
        assert await reader_on(here, stream) == text


async def test_a_grace_is_not_begun_anew_by_another_node(nodes: Nodes) -> None:
    """It counts from when the bot was lost, which is kept with the log."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    bot.link.detach()
    left_at = here.clock.now()
    await here.advance(5.0)
    nodes.shared.kill("b")
    await here.advance(3.1)
    await reader.read_all()
    assert reader.end.outcome is Outcome.BOT_GONE
    assert reader.end.at == pytest.approx(left_at + 8.0, abs=0.01)


async def test_the_row_behind_a_takeover_tells_what_happened_before(nodes: Nodes) -> None:
    """The question, the command, what was refused, and how often something came again."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0, 0)
    await bot.say(stream, Chunk("another", 0))
    await bot.chunks(stream, TEXTS, 1)
    nodes.shared.kill("b")
    await here.advance(0.1)
    back = await elsewhere.bot()
    await here.advance(0.1)
    await back.chunks(stream, TEXTS, 2, 3)
    await back.end(stream, TEXTS)
    await reader.read_all()
    await here.advance(0.0)
    row = await elsewhere.row(stream)
    events = [event for event in row.events if isinstance(event, dict)]
    assert [event["type"] for event in events] == [
        *("request_received", "taken_over", "command_sent", "refused", "taken_over"),
        *("end_received", "stream_end"),
    ]
    assert events[0]["data"] == {"message_id": "c"}
    owner = elsewhere.node.stream_of(1, stream)
    assert owner is not None
    assert owner.report is not None
    assert (owner.report.duplicates, owner.report.refused) == (1, 1)
