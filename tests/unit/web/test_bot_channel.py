"""BotChannel: subscribing, the verbs, and the answers to what cannot be taken."""

from __future__ import annotations

import gc
import json
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest

from relay.clock import ManualClock
from relay.node.bots import BotLink, LinkHost
from relay.node.decisions import Stored
from relay.web.bot_channel import CAN_WAIT_MAX, BotChannel, CableTransport
from relay.web.outbox import Outbox
from relay.wire.bot import Acked, Cancel, Missing, Pong
from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import Served, answer


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"bot_id": "1"},
        {"bot_id": 1},
        {"bot_id": ""},
        {"bot_id": None},
    ],
)
async def test_a_bot_is_confirmed_behind_its_greeting(
    web: Served, params: dict[str, JsonValue]
) -> None:
    """`connected` names the bot and its connection; the identifier is echoed byte for byte."""
    async with web.cable("?sdk_token=token-1") as cable:
        await cable.frame()
        await cable.subscribe(channel="BotChannel", **params)
        connected, confirmed = await cable.frame(), await cable.frame()
    message = connected["message"]
    assert isinstance(message, dict)
    assert (message["type"], message["bot_id"]) == ("connected", 1)
    assert isinstance(message["session_id"], str)
    assert "protocol" not in message
    assert confirmed == {"identifier": cable.identifier, "type": "confirm_subscription"}


@pytest.mark.parametrize(("asked", "given"), [(2, 2), (3, 2), (1, None), ("2", None), (True, None)])
async def test_the_protocol_in_use_is_stated(
    web: Served, asked: JsonValue, given: int | None
) -> None:
    """A number above 2 is answered as 2; what is no number is protocol 1."""
    async with web.cable("?sdk_token=token-1") as cable:
        await cable.subscribe(channel="BotChannel", protocol=asked, sdk="test/1")
        assert (await cable.message()).get("protocol") == given


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("?sdk_token=token-1", {"channel": "BotChannel", "bot_id": "2"}),
        ("?sdk_token=token-1", {"channel": "BotChannel", "bot_id": True}),
        ("?sdk_token=token-1", {"channel": "BotChannel", "bot_id": [1]}),
        ("?access_key=ak_1", {"channel": "BotChannel", "bot_id": "1"}),
        ("?sdk_token=token-1", {"channel": "AdminChannel"}),
        ("?sdk_token=token-1", {}),
    ],
)
async def test_a_subscription_that_is_not_the_callers_is_rejected(
    web: Served, query: str, params: dict[str, JsonValue]
) -> None:
    """Another bot, no bot at all, and a channel that does not exist get the same answer."""
    async with web.cable(query) as cable:
        await cable.frame()
        await cable.subscribe(**params)
        rejected = {"identifier": cable.identifier, "type": "reject_subscription"}
        assert await cable.frame() == rejected
        assert not await web.node.is_online(1)


async def test_a_repeated_subscription_is_confirmed_again_and_changes_nothing(web: Served) -> None:
    """Stock clients repeat it every 0.5 s until they hear a confirmation."""
    async with web.bot() as bot:
        await bot.send({"command": "subscribe", "identifier": bot.identifier})
        assert await bot.frame() == {"identifier": bot.identifier, "type": "confirm_subscription"}


async def test_a_second_identifier_does_not_fence_the_socket_that_it_came_on(web: Served) -> None:
    """One socket carries its bot once; the second subscription is rejected."""
    async with web.bot() as bot:
        first = bot.identifier
        await bot.subscribe(channel="BotChannel", bot_id="1")
        assert (await bot.frame())["type"] == "reject_subscription"
        bot.identifier = first
        await bot.perform(action="ping")
        assert (await bot.message())["type"] == "pong"


async def test_a_chunk_of_another_subscription_is_not_this_ones(web: Served) -> None:
    """The identifier says whose it is, as in the reference, also of the frame that is usual."""
    async with web.bot() as bot:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        mine, bot.identifier = bot.identifier, json.dumps({"channel": "BotChannel", "bot_id": "1"})
        await bot.perform(
            type="stream_chunk", session_id=session_id, sequence=0, content="elsewhere"
        )
        assert (await bot.message())["code"] == "not_subscribed"
        bot.identifier = mine
        await answer(bot, session_id, "mine")
        read = await web.http.get(
            f"/streams/{session_id}/events", headers={"Authorization": "Bearer ak_1"}
        )
    assert "elsewhere" not in read.text
    assert "mine" in read.text


async def test_unsubscribing_takes_the_bot_offline_and_subscribing_brings_it_back(
    web: Served,
) -> None:
    """The channel, not the socket, is what makes a bot reachable."""
    async with web.bot() as bot:
        await bot.send({"command": "unsubscribe", "identifier": bot.identifier})
        await bot.perform(action="ping")
        assert (await bot.message())["code"] == "not_subscribed"
        assert not await web.node.is_online(1)
        await bot.send({"command": "subscribe", "identifier": bot.identifier})
        assert (await bot.message())["type"] == "connected"
        assert await web.node.is_online(1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"action": "ping", "timestamp": "x"}, {"type": "pong"}),
        ({"action": "log", "message": "hi"}, {"type": "log", "level": "info", "message": "hi"}),
        (
            {"action": "log", "level": "warn", "message": {"a": 1}},
            {"type": "log", "level": "warn", "message": {"a": 1}},
        ),
        (
            {"action": "execute_command", "command": "chat", "params": {}},
            {"type": "command_received", "command": "chat", "status": "processing"},
        ),
        (
            {"action": "response", "content": "x", "session_id": "s"},
            {"type": "response_received", "session_id": "s", "status": "success"},
        ),
        (
            {"action": "status"},
            {"type": "status_response", "status": "online", "online": True, "active_sessions": 1},
        ),
    ],
)
async def test_a_verb_is_answered_as_the_reference_does(
    web: Served, data: dict[str, JsonValue], expected: dict[str, JsonValue]
) -> None:
    """Verbs of protocol 1 work for every bot."""
    async with web.bot(1) as bot:
        await bot.perform(**data)
        answer = await bot.message()
    assert {name: answer[name] for name in expected} == expected


@pytest.mark.parametrize(
    "data",
    [
        {"action": "command_result", "result": 1},
        {"action": "response", "content": "", "session_id": "s"},
        {"type": "pong"},
    ],
)
async def test_a_verb_without_an_answer_gets_none(web: Served, data: dict[str, JsonValue]) -> None:
    """The next answer belongs to the next question."""
    async with web.bot(1) as bot:
        await bot.perform(**data)
        await bot.perform(action="ping")
        assert (await bot.message())["type"] == "pong"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"action": "subscribed"}, "unknown_action"),
        ({"action": "unsubscribed"}, "unknown_action"),
        ({"type": "ping"}, "unknown_action"),
        ({}, "unknown_action"),
        ({"type": "stream_chunk", "content": 7, "sequence": 0}, "invalid_content"),
        ({"type": "stream_chunk", "content": "x"}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": None}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": -1}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": True}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": 1.0}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": "1"}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": 10**9}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x", "sequence": 2**63}, "invalid_sequence"),
        ({"type": "stream_chunk", "content": "x" * 16_385, "sequence": 0}, "chunk_too_large"),
        ({"type": "stream_chunk", "content": "x" * 70_000, "sequence": 0}, "frame_too_large"),
        ({"type": "stream_end", "total_chunks": "3"}, "invalid_payload"),
    ],
)
async def test_what_cannot_be_taken_is_refused_in_the_channel_and_the_bot_lives(
    web: Served, data: dict[str, JsonValue], code: str
) -> None:
    """A typed refusal; the connection and the streams on it go on."""
    async with web.bot() as bot:
        await bot.perform(session_id="s", **data)
        answer = await bot.frame()
        message = answer["message"]
        assert isinstance(message, dict)
        assert answer["identifier"] == bot.identifier
        assert (message["type"], message["code"]) == ("refused", code)
        await bot.perform(action="ping")
        assert (await bot.message())["type"] == "pong"


@pytest.mark.parametrize("data", ["{nope", "[1]", '{"type":"stream_chunk","sequence":1e400}'])
async def test_data_that_is_no_object_is_refused_in_the_channel(web: Served, data: str) -> None:
    """Malformed inner JSON is tied to the subscription that it came for."""
    async with web.bot() as bot:
        await bot.send({"command": "message", "identifier": bot.identifier, "data": data})
        answer = await bot.frame()
    message = answer["message"]
    assert isinstance(message, dict)
    assert (answer["identifier"], message["type"]) == (bot.identifier, "refused")
    assert message["code"] in {"malformed_json", "invalid_payload"}


async def test_a_chunk_for_another_bots_stream_is_refused(web: Served) -> None:
    """A bot publishes only into the streams that were opened for it."""
    async with web.bot() as bot, web.bot(number=2) as stranger:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        await stranger.perform(
            type="stream_chunk", session_id=session_id, sequence=0, content="intruder"
        )
        refused = await stranger.until("refused")
        assert (refused["code"], refused["session_id"]) == ("unknown_stream", session_id)
        await answer(bot, session_id, "mine")
        read = await web.http.get(
            f"/streams/{session_id}/events", headers={"Authorization": "Bearer ak_1"}
        )
    assert "intruder" not in read.text
    assert "mine" in read.text


async def test_a_legacy_bot_gets_one_acknowledgement_per_chunk(web: Served) -> None:
    """`chunk_received` echoes the sequence; 2.4.0 counts them before its `stream_end`."""
    async with web.bot(1) as bot:
        session_id = (await web.trigger())["session_id"]
        command = await bot.until("execute_command")
        assert "credit" not in command
        for sequence, content in enumerate("ab"):
            await bot.perform(
                type="stream_chunk", session_id=session_id, sequence=sequence, content=content
            )
        acks = [await bot.until("chunk_received") for _ in range(2)]
    assert [ack["sequence"] for ack in acks] == [0, 1]
    assert {ack["session_id"] for ack in acks} == {session_id}


class Written:
    """An outbox whose frames can be read once it is written."""

    def __init__(self, protocol: int) -> None:
        self.frames: list[JsonValue] = []
        self.outbox = Outbox(too_slow="")
        self.transport = CableTransport(
            self.outbox, "I", protocol=protocol, clock=ManualClock(1_740_000_000.0)
        )

    async def send(self, frame: str) -> None:
        """Take one frame."""
        self.frames.append(json.loads(frame))

    async def flush(self) -> list[JsonValue]:
        """Write all frames and return them."""
        self.outbox.close()
        await self.outbox.run(self.send)
        return self.frames


def inner(frame: JsonValue) -> dict[str, JsonValue]:
    """The message of a frame."""
    assert isinstance(frame, dict)
    message = frame["message"]
    assert isinstance(message, dict)
    return message


async def test_pending_acknowledgements_of_a_stream_are_one_frame() -> None:
    """Only the newest state of each stream is written, before what came behind the first."""
    written = Written(2)
    for following in (1, 2, 3):
        written.transport.acknowledge("s1", following - 1, 1, Stored(following, (), 8))
        written.transport.send(Acked("s2", None, following + 10, (), 8))
    written.transport.send(Pong())
    messages = [inner(frame) for frame in await written.flush()]
    assert [(m["type"], m.get("session_id"), m.get("next_sequence")) for m in messages] == [
        ("ack", "s1", 3),
        ("ack", "s2", 13),
        ("pong", None, None),
    ]


async def test_acknowledgements_of_protocol_1_are_never_merged() -> None:
    """Each chunk has its own, for an old SDK counts them."""
    written = Written(1)
    for sequence in range(3):
        written.transport.acknowledge("s1", sequence, 1, Stored(sequence + 1, (), 8))
    assert [inner(frame)["sequence"] for frame in await written.flush()] == [0, 1, 2]


async def test_receipts_that_wait_are_joined_by_their_neighbours_in_any_order_of_streams() -> None:
    """Nothing is lost or said twice where streams take turns, or where a sequence is no neighbour.

    What is written is joined by nothing any more.
    """
    written = Written(1)
    a, b = "a", "b"
    said = [(a, 1, 2), (a, 4, 3), (b, 0, 1), (a, 5, 1), (a, 7, 1), (b, 1, 1), (a, 8, 1)]
    later = [(a, 9, 1), (b, 2, 1), (a, 6, 1)]
    for stream, last, count in said:
        written.transport.acknowledge(stream, last, count, Stored(last + 1, (), 8))
    frames, _ = written.outbox.take()
    again = written.outbox.take()[0]
    for stream, last, count in later:
        written.transport.acknowledge(stream, last, count, Stored(last + 1, (), 8))
    told = [inner(json.loads(frame)) for frame in [*frames, *again]]
    assert [(one["session_id"], one["sequence"]) for one in told] == [
        *(("a", number) for number in range(6)),
        *(("b", 0), ("b", 1), ("a", 7), ("a", 8)),
    ]
    rest = [inner(frame) for frame in await written.flush()]
    assert [(one["session_id"], one["sequence"]) for one in rest] == [
        *(("a", 9), ("b", 2), ("a", 6)),
    ]


async def test_receipts_that_wait_outlive_their_channel_and_leave_no_cycle() -> None:
    """The subscription may be over, and its socket stay; or both go while the relay is full."""
    written = Written(1)
    host = cast("LinkHost", SimpleNamespace(now=float, acked_at=None, link_gone=lambda _: None))
    bot = written.transport
    link = BotLink(
        host, bot_id=1, connection_id="", protocol=2, sdk="", transport=bot, stale_after_s=1.0
    )
    for sequence in range(2):
        written.transport.acknowledge("s1", sequence, 1, Stored(sequence + 1, (), 8))
    await BotChannel(link, written.transport).close()
    frames, _ = written.outbox.take()
    assert [inner(json.loads(frame))["sequence"] for frame in frames] == [0, 1]
    written.transport.acknowledge("s1", 2, 1, Stored(3, (), 8))
    written.outbox.end()
    await BotChannel(link, written.transport).close()
    assert not any(type(known).__name__ == "_Run" for known in gc.get_referrers(written.transport))


def test_receipts_that_wait_count_as_much_as_when_they_are_written() -> None:
    """A bot that reads nothing is bounded by bytes, however its receipts are kept."""
    written = Written(1)
    for sequence in range(50):
        written.transport.acknowledge("s1", sequence, 1, Stored(sequence + 1, (), 8))
    frames, size = written.outbox.take()
    assert len(frames) == 50
    assert size == pytest.approx(sum(map(len, frames)), rel=0.1)


@pytest.mark.parametrize("protocol", [1, 2])
def test_what_acknowledges_few_chunks_can_wait_and_what_acknowledges_many_cannot(
    protocol: int,
) -> None:
    """Whoever sends many at a time may be waiting; also where some of its chunks wait already."""
    written, told = Written(protocol), list[str]()
    written.outbox.on_news = partial(told.append, "now")
    written.outbox.on_leisure = partial(told.append, "at leisure")
    stored = Stored(8, (), 8)
    written.transport.acknowledge("s1", 2, CAN_WAIT_MAX, stored)
    written.transport.acknowledge("s1", 3 + CAN_WAIT_MAX, CAN_WAIT_MAX + 1, stored)
    written.transport.send(Pong())
    assert told == ["at leisure", "now", "now"]


async def test_what_a_protocol_lacks_is_not_sent() -> None:
    """A legacy bot is neither asked to resend nor told to cancel."""
    written = Written(1)
    written.transport.send(Missing("s1", ((0, 1),)))
    written.transport.send(Cancel("s1", "device_gone"))
    assert await written.flush() == []


async def test_closing_says_why_and_whether_to_come_back() -> None:
    """The disconnect follows what is queued."""
    written = Written(2)
    written.transport.send(Pong())
    written.transport.close("server_restart", reconnect=True)
    frames = await written.flush()
    assert frames[1] == {"type": "disconnect", "reason": "server_restart", "reconnect": True}
