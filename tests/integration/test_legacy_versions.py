from __future__ import annotations

import pytest

from tests.support.bots import (
    V2_0,
    VERSIONS,
    LegacyBot,
    Script,
    Version,
    as_recorded,
    in_order,
    legacy_bot,
)
from tests.support.contents import CONTENTS
from tests.support.glasses import Answer, Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


async def ask(
    glasses: Glasses, relay: RelayServer, bot: LegacyBot, script: Script, number: int = 0
) -> Answer:
    """Ask the bot once and return what the glasses got."""
    async with glasses.ask(question(relay.bot().user_id)) as answer:
        await bot.answer(await bot.command(number), script)
        return await answer.read()


@every_version
async def test_both_turns_of_the_incident_arrive_whole(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """3 of 3 and 60 of 60 pieces, in order, with one end, and a trace without a flaw."""
    async with legacy_bot(relay, version) as bot:
        for number, turn in enumerate(load_incident()):
            script = as_recorded(turn, numbered=version.numbered)
            answer = await ask(glasses, relay, bot, script, number)
            assert_finished(answer)
            assert answer.pieces == list(turn.chunks)
            row = relay.trace(answer.stream_id)
            assert (row["status"], row["missing_sequences"]) == ("completed", [])
            assert row["sdk_chunk_count"] == row["sse_chunk_count"] == len(turn.chunks)
            assert row["sdk_content"] == row["sse_content"] == turn.text
            assert (row["loss_position"], row["anomaly"]) == (None, None)


@every_version
async def test_no_kind_of_content_is_lost(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """Whitespace, newlines, halves of an emoji and nothing at all are chunks like every other."""
    answers: dict[str, Answer] = {}
    async with legacy_bot(relay, version) as bot:
        for number, kind in enumerate(CONTENTS):
            answers[kind] = await ask(glasses, relay, bot, in_order(CONTENTS[kind]), number)
    for kind, answer in answers.items():
        assert_finished(answer)
        assert answer.text == in_order(CONTENTS[kind]).text, kind
        row = relay.trace(answer.stream_id)
        assert (row["status"], row["missing_sequences"]) == ("completed", []), kind
        assert row["sdk_chunk_count"] == row["sse_chunk_count"] == len(CONTENTS[kind]), kind


@every_version
async def test_the_bot_is_asked_in_the_words_of_the_reference(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """Every field that an SDK reads is there, and the id is new for each request."""
    body = question(relay.bot().user_id)
    ids = set()
    async with legacy_bot(relay, version) as bot:
        for number in range(2):
            async with glasses.ask(body) as answer:
                command = await bot.command(number)
                await bot.answer(command, in_order(["嗯"]))
                await answer.read()
            assert (command["command"], command["params"]) == ("chat", {"message": "天气怎么样？"})
            metadata = command["metadata"]
            assert metadata["full_messages"] == body["message"]
            assert metadata["original_metadata"] == body["metadata"]
            assert metadata["openclaw_session_id"] == f"bot_{relay.bot().bot_id}"
            assert (metadata["user_id"], metadata["agent_id"]) == (
                body["user_id"],
                body["agent_id"],
            )
            assert metadata["session_id"] == answer.stream_id != body["message_id"]
            ids.add(metadata["session_id"])
    assert len(ids) == 2


@every_version
async def test_each_chunk_is_acknowledged_with_the_number_it_came_with(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """One `chunk_received` per chunk, with its sequence, or null where it had none."""
    async with legacy_bot(relay, version) as bot:
        answer = await ask(glasses, relay, bot, in_order("abc"))
        await bot.until_silent()
        acks = bot.cable.messages("chunk_received")
    assert [ack["sequence"] for ack in acks] == ([0, 1, 2] if version.numbered else [None] * 3)
    assert {ack["session_id"] for ack in acks} == {answer.stream_id}


@every_version
async def test_a_failure_of_the_bot_is_an_answer(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """What was said stays, words of the relay follow, and the bot's own error is not shown."""
    async with (
        legacy_bot(relay, version) as bot,
        glasses.ask(question(relay.bot().user_id)) as answer,
    ):
        ledger = await bot.begin(await bot.command())
        await bot.stream(ledger, in_order(["你", "好"]))
        await bot.fail(ledger, "HTTP error: 500 - at gateway.js:17")
        await answer.read()
    assert_finished(answer)
    assert answer.text == "你好\n抱歉，回答时出了点问题，请再问一次。"
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["outcome"]) == ("anomaly", "failed")
    assert row["anomaly"]["detail"] == "HTTP error: 500 - at gateway.js:17"


@pytest.mark.parametrize("version", [v for v in VERSIONS if v is not V2_0], ids=lambda v: v.name)
async def test_what_a_bot_accumulated_before_a_failure_is_not_shown_in_the_next_answer(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """The next summary starts with the failed answer's text, so it is not believed."""
    async with legacy_bot(relay, version) as bot:
        async with glasses.ask(question(relay.bot().user_id)) as answer:
            ledger = await bot.begin(await bot.command())
            await bot.stream(ledger, in_order(["secret"]))
            await bot.fail(ledger, "terminated")
            await answer.read()
        answer = await ask(glasses, relay, bot, in_order(["你", "好"]), 1)
    assert_finished(answer)
    assert answer.text == "你好"
