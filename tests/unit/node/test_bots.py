"""One connection of a bot: what it may touch, and what it is told."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from relay.broker.base import Letter
from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.wire.bot import Acked, Cancel, Command, Missing, Refused, StatusReply
from relay.wire.jsontext import dumps
from tests.support.node import World, settle_down

TEXTS = ["a", "b", "c"]


async def test_protocol_2_is_acknowledged_cumulatively(world: World) -> None:
    """Next sequence, the early ranges, the credit; and it is asked for what is missing."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.chunks(stream, TEXTS, 0, 2, 1)
    assert bot.heard(Acked) == [
        Acked(stream, 0, 1, (), 256),
        Acked(stream, 2, 1, ((2, 2),), bot.heard(Acked)[1].credit),
        Acked(stream, 1, 3, (), 256),
    ]
    assert bot.heard(Missing) == [Missing(stream, ((1, 1),))]


async def test_chunks_that_came_together_are_acknowledged_together(world: World) -> None:
    """How many, for an old bot wants one receipt for each; a fenced connection is told nothing."""
    bot = await world.bot(protocol=1)
    stream = (await world.ask()).stream_id
    await bot.say(stream, Chunk("a", 0))
    port = bot.link.open_stream(stream)
    assert port is not None
    together = [Chunk(text, number) for number, text in enumerate("bcd", 1)]
    pending = bot.link.receive_chunks(port, together)
    if pending is not None:
        await pending
    assert (bot.acks, bot.counts) == ([0, 3], [3])
    bot.link.fence_off()
    pending = bot.link.receive_chunks(port, [Chunk("e", 4)])
    if pending is not None:
        await pending
    assert (bot.acks, bot.counts) == ([0, 3], [3])


async def test_a_refusal_names_the_chunk_and_takes_nothing_back(world: World) -> None:
    """The sequence again with other content: the first one stands."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.say(stream, Chunk("a", 0))
    await bot.say(stream, Chunk("other", 0))
    (refused,) = bot.heard(Refused)
    assert (refused.stream_id, refused.sequence) == (stream, 0)
    assert refused.code is RefusalCode.CONFLICT
    await bot.end(stream, ["a"])
    assert await (await world.read(stream)).read_all() == "a"


async def test_the_trace_says_why_something_was_not_taken(world: World) -> None:
    """Of the first 20: else it only looks as if it never arrived. The log names the trace."""
    bot = await world.bot()
    view = await world.ask()
    refusal = Refused(view.stream_id, 5, RefusalCode.INVALID_CONTENT, "content must be a string")
    with capture_logs() as logs:
        for _ in range(21):
            bot.link.refuse(refusal)
        bot.link.refuse(Refused("nowhere", 0, RefusalCode.UNKNOWN_STREAM, "?"))
    told = [entry for entry in logs if entry["event"] == "message_refused"]
    assert [entry["trace_id"] for entry in told] == [view.trace_id] * 21 + [None]
    await bot.end(view.stream_id, [])
    await (await world.read(view.stream_id)).read_all()
    events = [e for e in (await world.row(view.stream_id)).events if isinstance(e, dict)]
    noted = [event["data"] for event in events if event["type"] == "refused"]
    assert noted == [{"sequence": 5, "code": "invalid_content"}] * 20


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize(
    ("message", "sequence"),
    [(Chunk("x", 3), 3), (End(), None), (Abort("x"), None), (Summary("x", 1), None)],
    ids=["chunk", "end", "error", "summary"],
)
async def test_a_stream_that_is_not_there_is_refused(
    world: World, protocol: int, message: Chunk | End | Abort | Summary, sequence: int | None
) -> None:
    """Typed, with the bot's own words for it; the connection goes on."""
    bot = await world.bot(protocol=protocol)
    stream = (await world.ask()).stream_id
    await bot.say("nowhere", message)
    (refused,) = bot.heard(Refused)
    assert (refused.stream_id, refused.sequence) == ("nowhere", sequence)
    assert refused.code is RefusalCode.UNKNOWN_STREAM
    await bot.say(stream, Chunk("a", 0))
    assert bot.acks == [0]


async def test_a_stream_of_another_bot_is_not_there(world: World) -> None:
    """Not a byte of it can be written by somebody else's token."""
    mine, other = await world.bot(1), await world.bot(2)
    stream = (await world.ask(bot_id=1)).stream_id
    await other.say(stream, Chunk("spoilt", 0))
    await other.say(stream, End(1))
    assert [refused.code for refused in other.heard(Refused)] == [RefusalCode.UNKNOWN_STREAM] * 2
    await mine.say(stream, Chunk("a", 0))
    await mine.end(stream, ["a"])
    assert await (await world.read(stream)).read_all() == "a"


async def test_protocol_2_must_name_the_stream(world: World) -> None:
    """Nothing is guessed for a bot that can do better."""
    bot = await world.bot()
    await world.ask()
    await bot.say(None, Chunk("a", 0))
    (refused,) = bot.heard(Refused)
    assert (refused.stream_id, refused.code) == (None, RefusalCode.UNKNOWN_STREAM)


async def test_protocol_2_hears_again_how_a_stream_was_closed(world: World) -> None:
    """It repeats its end because the answer was lost: the same answer, and no second end."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    await bot.end(stream, TEXTS)
    first, again = bot.closed
    assert first == again
    assert (first.outcome, first.total_chunks, first.missing) == ("completed", 3, ())
    await reader.read_all()
    assert reader.end.offset == 4


async def test_what_comes_late_is_answered_on_the_connection_that_it_came_on(world: World) -> None:
    """A chunk of a stream that has ended is acknowledged, though a newer connection sent it."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    newer = await world.bot()
    await newer.chunks(stream, TEXTS, 0)
    assert newer.acks == [0]
    await newer.say(stream, Chunk("no", 9))
    assert [refusal.code for refusal in newer.heard(Refused)] == [RefusalCode.AFTER_END]


async def test_the_streams_of_a_legacy_bot_are_numbered_by_arrival_when_they_overlap(
    world: World,
) -> None:
    """Its one counter runs through both. Its own numbers come back in the ACKs."""
    bot = await world.bot(protocol=1)
    first = (await world.ask("one")).stream_id
    await bot.say(first, Chunk("a", 0))
    await bot.say(first, Chunk("b", 1))
    second = (await world.ask("two")).stream_id
    for sequence, (stream, text) in enumerate(
        [(second, "A"), (first, "c"), (second, "B"), (first, "d")], start=2
    ):
        await bot.say(stream, Chunk(text, sequence))
    await bot.say(first, Summary("all of it, mixed up", 6))
    for stream in (first, second):
        await bot.say(stream, End())
    readers = [await world.read(first), await world.read(second)]
    assert [await reader.read_all() for reader in readers] == ["abcd", "AB"]
    assert [reader.sequences for reader in readers] == [[0, 1, 2, 3], [0, 1]]
    assert bot.acks == [0, 1, 2, 3, 4, 5]
    rows = await world.rows()
    events = [[e["type"] for e in rows[s].events if isinstance(e, dict)] for s in (first, second)]
    assert all("numbered_by_arrival" in names for names in events)
    assert [row.missing_sequences for row in rows.values()] == [[], []]


async def test_a_long_answer_overlaps_with_what_is_asked_while_it_runs(world: World) -> None:
    """Its newest chunk counts, however long ago it was asked."""
    bot = await world.bot(protocol=1)
    first = (await world.ask("one")).stream_id
    await world.read(first)
    await world.advance(50.0)
    port = bot.link.open_stream(first)
    assert port is not None
    pending = bot.link.receive_chunks(port, (Chunk("a", 0), Chunk("b", 1)))
    if pending is not None:
        await pending
    await world.advance(50.0)
    second = (await world.ask("two")).stream_id
    for sequence, (stream, text) in enumerate([(second, "A"), (first, "c")], start=2):
        await bot.say(stream, Chunk(text, sequence))
    readers = [await world.read(first), await world.read(second)]
    for stream in (first, second):
        await bot.say(stream, End())
    assert [await reader.read_all() for reader in readers] == ["abc", "A"]
    assert [reader.sequences for reader in readers] == [[0, 1, 2], [0]]


async def test_a_turn_that_the_relay_closed_still_runs_until_its_bot_ends_it(
    world: World,
) -> None:
    """The bot goes on counting for it, so the next answer is numbered by arrival all the same."""
    bot = await world.bot(protocol=1)
    first = (await world.ask("one")).stream_id
    await bot.say(first, Chunk("a", 0))
    await world.advance(61.0)
    assert world.node.open_streams == 0
    await bot.say(first, Chunk("too late", 1))
    second = (await world.ask("two")).stream_id
    await bot.say(second, Chunk("A", 2))
    await bot.say(first, Chunk("much too late", 3))
    await bot.say(second, Chunk("B", 4))
    await bot.say(second, End())
    reader = await world.read(second)
    assert await reader.read_all() == "AB"
    assert reader.sequences == [0, 1]
    assert bot.acks == [0, 1, 2, 3, 4]
    row = await world.row(second)
    assert (row.missing_sequences, row.outcome) == ([], "completed")


async def test_what_overlaps_a_closed_stream_is_not_noted_in_its_trace(world: World) -> None:
    """It was over before: its own numbers were good."""
    bot = await world.bot(protocol=1)
    first = (await world.ask("one")).stream_id
    await bot.say(first, Chunk("a", 0))
    await world.advance(61.0)
    await bot.say(first, Chunk("late", 1))
    await world.ask("two")
    await world.advance(31.0)
    events = (await world.row(first)).events
    assert [e["type"] for e in events if isinstance(e, dict)][-1] in {"device_gone", "stream_end"}
    assert "numbered_by_arrival" not in [e["type"] for e in events if isinstance(e, dict)]


@pytest.mark.parametrize("last", [End(), Abort("broken")], ids=["end", "error"])
async def test_a_turn_that_ended_does_not_disturb_the_next(world: World, last: End | Abort) -> None:
    """The numbers of the next one are trusted, so what it lost is known."""
    bot = await world.bot(protocol=1)
    first = (await world.ask("one")).stream_id
    await bot.say(first, last)
    second = (await world.ask("two")).stream_id
    await bot.chunks(second, TEXTS, 0, 2)
    await bot.say(second, End())
    await world.advance(2.1)
    reader = await world.read(second)
    assert await reader.read_all() == "ac"
    assert reader.sequences == [0, 2]
    assert (await world.row(second)).missing_sequences == [1]


async def test_messages_without_a_stream_belong_to_the_oldest_question(world: World) -> None:
    """2.0.x names none: one connection answers first-in first-out."""
    bot = await world.bot(protocol=1)
    await bot.say(None, Chunk("nobody asked"))
    assert [refused.stream_id for refused in bot.heard(Refused)] == [None]
    first = (await world.ask("one")).stream_id
    await bot.say(None, Chunk("a"))
    second = (await world.ask("two")).stream_id
    for message in (Chunk("b"), End(), Chunk("A"), End()):
        await bot.say(None, message)
    assert [ack.stream_id for ack in bot.heard(Acked)] == [first, first, second]
    assert bot.acks == [None, None, None]
    texts = [await (await world.read(stream)).read_all() for stream in (first, second)]
    assert texts == ["ab", "A"]


async def test_a_bots_own_keys_tell_its_streams_apart(world: World) -> None:
    """2.0.x names its streams by keys of its own; interleaved, they do not mix."""
    bot = await world.bot(protocol=1)
    streams = [(await world.ask(name)).stream_id for name in ("one", "two")]
    for key, text in (("x", "a"), ("y", "A"), ("y", "B"), ("x", "b")):
        await bot.say(None, Chunk(text), key)
    for key in ("x", "x", "y"):
        await bot.say(None, End(), key)
    texts = [await (await world.read(stream)).read_all() for stream in streams]
    assert texts == ["ab", "AB"]


async def test_a_key_is_bound_by_its_start(world: World) -> None:
    """2.0.x says when it begins; told by its first chunk, two answers would change places."""
    bot = await world.bot(protocol=1)
    streams = [(await world.ask(name)).stream_id for name in ("one", "two")]
    for key in ("x", "y"):
        bot.link.started(key)
    for key, text in (("y", "A"), ("x", "a")):
        await bot.say(None, Chunk(text), key)
        await bot.say(None, End(), key)
    texts = [await (await world.read(stream)).read_all() for stream in streams]
    assert texts == ["a", "A"]


async def test_a_start_says_nothing_to_protocol_2(world: World) -> None:
    """Its streams have names."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    bot.link.started("x")
    await bot.say(stream, Chunk("a", 0))
    assert bot.acks == [0]


async def test_a_turn_whose_stream_has_expired_still_counts(world: World) -> None:
    """The bot has not ended it, so its counter may still run for it."""
    bot = await world.bot(protocol=1)
    first = (await world.ask("one")).stream_id
    await world.advance(61.0)
    await world.advance(295.0)
    await bot.say(first, Chunk("late", 0))
    await world.rows()
    await world.advance(10.0)
    second = (await world.ask("two")).stream_id
    await bot.say(second, Chunk("A", 1))
    await bot.say(second, End())
    reader = await world.read(second)
    assert await reader.read_all() == "A"
    assert reader.sequences == [0]


@pytest.mark.parametrize(("asked_for", "spoken"), [(1, 1), (2, 2), (3, 2), (99, 2)])
async def test_the_protocol_in_use_is_stated(world: World, asked_for: int, spoken: int) -> None:
    """A number above 2 is answered as 2."""
    bot = await world.bot(protocol=asked_for)
    assert bot.link.protocol == bot.connected.protocol == spoken
    assert bot.link.reliable is (spoken == 2)


async def test_the_status_is_that_of_this_very_connection(world: World) -> None:
    """Its age, how many there were before, and whether it still speaks for the bot."""
    older = await world.bot()
    await world.advance(5.0)
    newer = await world.bot()
    await world.advance(2.5)
    assert newer.link.status() == StatusReply("online", True, 1, 2, 2.5)
    assert older.link.status() == StatusReply("offline", False, 0, 1, 7.5)


async def test_a_question_is_handed_over_with_its_credit(world: World) -> None:
    """The command as posted, and how many chunks may be unacknowledged."""
    bot = await world.bot()
    view = await world.ask()
    (command,) = bot.heard(Command)
    assert (command.stream_id, command.credit) == (view.stream_id, 256)
    metadata = command.payload["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["session_id"] == view.stream_id


async def test_a_cancellation_is_handed_over_as_such(world: World) -> None:
    """With its reason."""
    bot = await world.bot()
    payload = dumps({"type": "cancel_command", "reason": "limit"})
    bot.link.deliver(Letter(1, "s", payload), credit=0)
    assert bot.heard(Cancel) == [Cancel("s", "limit")]


async def test_a_letter_that_is_no_object_is_a_bug(world: World) -> None:
    """Only the relay posts letters."""
    bot = await world.bot()
    with pytest.raises(TypeError):
        bot.link.deliver(Letter(1, "s", b"[]"), credit=0)


async def test_a_connection_is_lost_once(world: World) -> None:
    """Detaching again, or after it was fenced, does nothing to the newer one."""
    older = await world.bot()
    newer = await world.bot()
    older.link.detach()
    await settle_down()
    assert await world.node.is_online(1)
    newer.link.detach()
    newer.link.detach()
    await settle_down()
    assert not await world.node.is_online(1)


async def test_nothing_is_said_to_a_connection_that_is_gone(world: World) -> None:
    """Not even a refusal: its socket is closed."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    bot.link.detach()
    told = list(bot.told)
    await bot.say(stream, Chunk("a", 0))
    assert bot.told == told


async def test_a_connection_is_closed_with_its_reason(world: World) -> None:
    """`disconnect` says whether to come back."""
    bot = await world.bot()
    bot.link.close("server_restart", reconnect=True)
    assert bot.farewells == [("server_restart", True)]
