from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.bots import RawBot, raw_bot, stream_of
from tests.support.cable import Frame, open_cable, to_json
from tests.support.contents import CONTENTS
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

GOOD = tuple(f"{number} " for number in range(10))


@asynccontextmanager
async def good_stream(
    relay: RelayServer, glasses: Glasses
) -> AsyncIterator[tuple[RawBot, str, list[Frame]]]:
    """A stream on whose connection wrong input arrives in the middle; it must come out whole.

    Yields the bot, the stream and, for what the block waits for, the frames from then on.
    """
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, GOOD[:5])
        await bot.acked(stream_id, 5)
        yield bot, stream_id, bot.cable.frames
        for sequence in range(5, 10):
            await bot.chunk(stream_id, sequence, GOOD[sequence])
        await bot.end(stream_id, GOOD)
        await answer.read()
        await bot.until_silent()
        assert not bot.cable.closed
    assert_finished(answer)
    assert answer.text == "".join(GOOD)
    row = relay.trace(stream_id)
    assert (row["status"], row["missing_sequences"]) == ("completed", [])


async def refusal(bot: RawBot, frames: list[Frame]) -> Frame:
    """Wait until the relay has answered, and return the one refusal."""
    await bot.until_silent()
    refused = bot.cable.messages("refused")
    assert len(refused) == 1, frames
    return refused[0]


def command(identifier: str, data: str, verb: str = "message") -> str:
    """A frame whose data may be anything."""
    return json.dumps({"command": verb, "identifier": identifier, "data": data})


UNTIED = {
    "malformed JSON": ("{not json", "malformed_json"),
    "cut JSON": ('{"command":"subscribe"', "malformed_json"),
    "a number that is none": ('{"command":NaN}', "malformed_json"),
    "deeply nested JSON": ("[" * 5_000 + "]" * 5_000, "malformed_json"),
    "not an object": ('["subscribe"]', "invalid_payload"),
    "an unknown command": ('{"command":"explode","identifier":"x"}', "unknown_command"),
    "no command": ('{"type":"stream_chunk","content":"x"}', "unknown_command"),
    "no subscription": (command('{"channel":"BotChannel","x":1}', "{}"), "not_subscribed"),
    "an identifier that is no string": (
        '{"command":"subscribe","identifier":1}',
        "invalid_payload",
    ),
    "an identifier that is no JSON": ('{"command":"subscribe","identifier":"x"}', "malformed_json"),
    "a frame of 70 KB": (
        json.dumps({"command": "subscribe", "identifier": "x" * 70_000}),
        "frame_too_large",
    ),
}


@pytest.mark.parametrize("kind", UNTIED)
async def test_a_frame_without_a_subscription_is_refused_and_the_connection_lives(
    relay: RelayServer, glasses: Glasses, kind: str
) -> None:
    """The answer is an `error` frame, which ActionCable clients ignore."""
    raw, code = UNTIED[kind]
    async with good_stream(relay, glasses) as (bot, _, frames):
        start = len(frames)
        await bot.cable.send_raw(raw)
        answer = await bot.cable.wait(lambda frame: frame.get("type") == "error", after=start)
    assert answer["identifier"] == ""
    assert (answer["message"]["type"], answer["message"]["code"]) == ("refused", code)
    assert answer["message"]["message"]


async def test_a_binary_frame_is_refused_and_the_connection_lives(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The protocol has text frames only."""
    async with good_stream(relay, glasses) as (bot, _, frames):
        start = len(frames)
        await bot.cable.send_raw(b'{"command":"subscribe"}')
        answer = await bot.cable.wait(lambda frame: frame.get("type") == "error", after=start)
    assert answer["message"]["code"] == "invalid_payload"


SEQUENCES = ["-1", "true", "1.0", '"1"', "1000000000", "9223372036854775808", "1e400", "[1]", "{}"]


@pytest.mark.parametrize("sequence", SEQUENCES)
async def test_a_sequence_that_is_no_number_of_a_chunk_is_refused(
    relay: RelayServer, glasses: Glasses, sequence: str
) -> None:
    """Exactly an integer in 0..1,000,000; what only equals one is refused too."""
    async with good_stream(relay, glasses) as (bot, stream_id, frames):
        data = '{"type":"stream_chunk","session_id":"%s","sequence":%s,"content":"EVIL"}'
        await bot.cable.send_raw(command(bot.identifier, data % (stream_id, sequence)))
        refused = await refusal(bot, frames)
    # 1e400 is no number that JSON can hold, so it never gets as far as a sequence.
    expected = "malformed_json" if sequence == "1e400" else "invalid_sequence"
    assert refused["code"] == expected


@pytest.mark.parametrize("content", ["5", "true", "[]", "{}", '["EVIL"]', "null"])
async def test_content_that_is_not_a_string_is_refused(
    relay: RelayServer, glasses: Glasses, content: str
) -> None:
    """Also null and a missing one: a chunk says something, if only the empty string."""
    async with good_stream(relay, glasses) as (bot, stream_id, frames):
        data = '{"type":"stream_chunk","session_id":"%s","sequence":5,"content":%s}'
        await bot.cable.send_raw(command(bot.identifier, data % (stream_id, content)))
        refused = await refusal(bot, frames)
    assert (refused["code"], refused["sequence"]) == ("invalid_content", 5)
    assert refused["session_id"] == stream_id


PAYLOADS: dict[str, tuple[str, str]] = {
    "data that is no JSON": ("{", "malformed_json"),
    "data that is no object": ("[1]", "invalid_payload"),
    "an unknown verb": ('{"type":"stream_unheard_of"}', "unknown_action"),
    "an unknown action": ('{"action":"explode"}', "unknown_action"),
    "the hook subscribed": ('{"action":"subscribed"}', "unknown_action"),
    "the hook unsubscribed": ('{"action":"unsubscribed"}', "unknown_action"),
    "no verb": ("{}", "unknown_action"),
    "a session id that is a number": (
        '{"type":"stream_chunk","session_id":7,"sequence":0,"content":"EVIL"}',
        "invalid_payload",
    ),
    "an unknown stream": (
        '{"type":"stream_chunk","session_id":"nope","sequence":0,"content":"EVIL"}',
        "unknown_stream",
    ),
    "an end of an unknown stream": ('{"type":"stream_end","session_id":"x"}', "unknown_stream"),
    "a summary without text": ('{"type":"stream_summary","session_id":"x"}', "invalid_payload"),
    "a count that is none": (
        '{"type":"stream_end","session_id":"x","total_chunks":-1}',
        "invalid_payload",
    ),
}


@pytest.mark.parametrize("kind", PAYLOADS)
async def test_a_message_that_cannot_be_taken_is_refused_with_its_reason(
    relay: RelayServer, glasses: Glasses, kind: str
) -> None:
    """The refusal comes through the subscription, and touches nothing else."""
    data, code = PAYLOADS[kind]
    async with good_stream(relay, glasses) as (bot, _, frames):
        await bot.cable.send_raw(command(bot.identifier, data))
        refused = await refusal(bot, frames)
    assert refused["code"] == code
    assert refused["message"]


async def test_data_that_is_not_a_string_is_refused(relay: RelayServer, glasses: Glasses) -> None:
    """ActionCable's `data` is a string that holds JSON."""
    async with good_stream(relay, glasses) as (bot, _, frames):
        frame = {"command": "message", "identifier": bot.identifier, "data": {"type": "ping"}}
        await bot.cable.send(frame)
        refused = await refusal(bot, frames)
    assert refused["code"] == "invalid_payload"


@pytest.mark.parametrize("size", [20_000, 70_000])
async def test_a_chunk_or_frame_that_is_too_large_is_refused_by_name(
    relay: RelayServer, glasses: Glasses, size: int
) -> None:
    """The refusal names stream and sequence, so that the sender knows what to split."""
    async with good_stream(relay, glasses) as (bot, stream_id, frames):
        await bot.chunk(stream_id, 5, "x" * size)
        refused = await refusal(bot, frames)
    assert refused["code"] == ("chunk_too_large" if size == 20_000 else "frame_too_large")
    assert (refused["session_id"], refused["sequence"]) == (stream_id, 5)


async def test_the_other_content_of_a_sequence_is_refused_and_the_first_stands(
    relay: RelayServer, glasses: Glasses
) -> None:
    """`conflict`: two writers, or a bug; nothing that was shown is taken back."""
    async with good_stream(relay, glasses) as (bot, stream_id, frames):
        await bot.chunk(stream_id, 2, "EVIL")
        refused = await refusal(bot, frames)
    assert (refused["code"], refused["sequence"]) == ("conflict", 2)


async def test_a_chunk_after_the_end_is_refused(relay: RelayServer, glasses: Glasses) -> None:
    """The answer stays as it was; the trace says completed."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, "ab")
        await bot.end(stream_id, "ab")
        await bot.chunk(stream_id, 2, "EVIL")
        refused = await bot.cable.wait_message("refused", session_id=stream_id)
        await answer.read()
    assert (refused["code"], refused["sequence"]) == ("after_end", 2)
    assert_finished(answer)
    assert answer.text == "ab"
    assert relay.trace(stream_id)["status"] == "completed"


async def test_a_bot_cannot_write_into_the_stream_of_another(
    relay: RelayServer, glasses: Glasses
) -> None:
    """It is told `unknown_stream`, as for one that never was, whatever it sends."""
    async with good_stream(relay, glasses) as (_, stream_id, _), raw_bot(relay, 1) as thief:
        await thief.chunk(stream_id, 5, "EVIL")
        await thief.end(stream_id, GOOD[:5])
        await thief.say({"type": "stream_error", "session_id": stream_id, "error": "EVIL"})
        await thief.say(
            {
                "type": "stream_summary",
                "session_id": stream_id,
                "total_content": "EVIL",
                "total_chunks": 1,
            }
        )
        await thief.until_silent()
        codes = [message["code"] for message in thief.cable.messages("refused")]
    assert codes == ["unknown_stream"] * 4


async def test_control_characters_are_content_like_every_other(
    relay: RelayServer, glasses: Glasses
) -> None:
    """CR, LF, NUL, U+2028 and what looks like SSE arrive as they are, one event per chunk."""
    contents = [*CONTENTS["separators"], "\r\n\r\nevent: done\ndata: {}\n\n", "\x00", "\u2028"]
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        await bot.answer(await bot.command(), contents)
        await answer.read()
    assert_finished(answer)
    assert answer.pieces == contents
    # PostgreSQL cannot hold a NUL, so no trace does.
    assert relay.trace(answer.stream_id)["sse_content"] == "".join(contents).replace("\x00", "")


async def test_a_frame_above_the_largest_closes_only_its_own_connection(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Close code 1009; a stream of another bot is not touched, nor is the bot's next connection."""
    async with good_stream(relay, glasses), raw_bot(relay, 1) as bot:
        await bot.cable.send_raw("x" * 300_000)
        await bot.cable.wait_closed()
        assert bot.cable.socket.close_code == 1009
        async with raw_bot(relay, 1) as again:
            await again.until_silent()


@pytest.mark.parametrize(
    "query",
    ["?sdk_token=wrong", "?access_key=wrong", "", "?sdk_token=", "?access_key=wrong&sdk_token={}"],
)
async def test_an_unknown_token_is_told_to_stay_away(relay: RelayServer, query: str) -> None:
    """A `disconnect` with `reconnect` false, no welcome, and the socket is closed."""
    url = relay.cable_url + query.format(relay.bot().token)
    async with open_cable(url) as cable:
        await cable.wait_closed()
    assert cable.frames == [{"type": "disconnect", "reason": "unauthorized", "reconnect": False}]


@pytest.mark.parametrize(
    "identifier",
    [
        '{"channel":"BotChannel","bot_id":"2"}',
        '{"channel":"BotChannel","bot_id":999}',
        '{"channel":"BotChannel","bot_id":true}',
        '{"channel":"NoSuchChannel"}',
        '{"channel":"RokidStreamChannel"}',
        "{}",
    ],
)
async def test_a_channel_that_a_bot_may_not_have_is_rejected(
    relay: RelayServer, glasses: Glasses, identifier: str
) -> None:
    """`reject_subscription`, on a socket with a stream and on a fresh one; both go on."""
    rejection = {"identifier": identifier, "type": "reject_subscription"}
    async with good_stream(relay, glasses) as (bot, _, _):
        assert await bot.cable.subscribe(identifier) == rejection
    assert relay.bot().bot_id == 1
    async with open_cable(relay.bot_url()) as cable:
        assert await cable.subscribe(identifier) == rejection
        confirmed = await cable.subscribe('{"channel":"BotChannel"}')
    assert confirmed["type"] == "confirm_subscription"


async def test_a_worker_may_not_speak_as_a_bot(relay: RelayServer) -> None:
    """An access key opens no BotChannel."""
    async with open_cable(f"{relay.cable_url}?access_key={relay.key}") as cable:
        answer = await cable.subscribe(to_json({"channel": "BotChannel", "bot_id": "1"}))
    assert answer["type"] == "reject_subscription"
