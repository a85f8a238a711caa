from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.bots import V2_3_10, V2_4_0, in_order, legacy_bot, raw_bot, stream_of
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.server import RelayServer, environment

IDLE_S = 1.6
BOT_GRACE_S = 0.8
ROOT = Path(__file__).parents[2]

OFFLINE = {"zh": "助手现在不在线，请稍后再试。", "en": "Your assistant is offline right now."}
UNBOUND = {"zh": "您还没有绑定助手", "en": "No assistant is linked to you yet."}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Short for what is measured here, and an hour for what may not be waited for."""
    return {
        "idle_seconds": str(IDLE_S),
        "bot_grace_seconds": str(BOT_GRACE_S),
        "barrier_seconds": "3600",
        "guess_seconds": "0.05",
        "gap_seconds": "3600",
        "keepalive_seconds": "0.2",
    }


def in_language(lang: str, user_id: str) -> dict[str, object]:
    """A question of somebody who speaks this language."""
    return question(user_id, metadata={"lang": {"zh": "zh-CN", "en": "en-US"}[lang]})


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_an_offline_bot_is_answered_for_at_once(
    default_relay: RelayServer, lang: str
) -> None:
    """No timer is waited for: by default idle, grace and barrier are 2 s and more."""
    relay, glasses = default_relay, Glasses(default_relay.url, default_relay.key)
    answer = await glasses.ask_and_read(in_language(lang, relay.bot(3).user_id))
    took = time.monotonic() - answer.asked_at
    assert_finished(answer)
    assert answer.status == 200
    assert answer.text.startswith(OFFLINE[lang])
    assert took < 1.5
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["outcome"]) == ("anomaly", "bot_offline")


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_a_user_without_a_bot_is_told_so_at_once(
    relay: RelayServer, glasses: Glasses, lang: str
) -> None:
    """An answer in the user's language, and a trace that is over and names no bot."""
    answer = await glasses.ask_and_read(in_language(lang, "nobody"))
    assert_finished(answer)
    assert answer.text.startswith(UNBOUND[lang])
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["outcome"], row["bot_id"]) == ("anomaly", "unbound", None)


async def test_a_bot_that_hung_up_a_moment_ago_is_offline(
    relay: RelayServer, glasses: Glasses
) -> None:
    """It pinged just before; what counts is the connection that is there now."""
    async with legacy_bot(relay, V2_4_0) as bot:
        await bot.until_silent()
    answer = await glasses.ask_and_read(question(relay.bot().user_id))
    assert answer.text == OFFLINE["zh"]


async def test_a_silent_bot_is_given_up_after_one_idle_time(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The text so far, one finish, and the wait was not cut short."""
    async with (
        legacy_bot(relay, V2_4_0) as bot,
        glasses.ask(question(relay.bot().user_id)) as answer,
    ):
        ledger = await bot.begin(await bot.command())
        await bot.stream(ledger, in_order(["你"]))
        await answer.read()
    assert_finished(answer)
    assert answer.text == "你\n抱歉，等了很久没有收到回答，请再问一次。"
    assert IDLE_S - 0.05 <= answer.events[-1].at - ledger.last_at <= IDLE_S + 0.7
    assert "keep-alive" in answer.comments
    assert relay.trace(answer.stream_id)["outcome"] == "idle"


async def test_an_answer_may_take_longer_than_the_idle_time_in_total(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Idle is per gap: chunks 0.6 s apart for more than twice the idle time all arrive."""
    async with (
        legacy_bot(relay, V2_3_10) as bot,
        glasses.ask(question(relay.bot().user_id)) as answer,
    ):
        ledger = await bot.begin(await bot.command())
        for number in range(6):
            await bot.put(ledger, bot.number(ledger, str(number)), number)
            await asyncio.sleep(0.6)
        await bot.finish(ledger)
        await answer.read()
    assert_finished(answer)
    assert answer.text == "012345"
    assert ledger.end_at - ledger.first_at > 2 * IDLE_S
    assert relay.trace(answer.stream_id)["status"] == "completed"


async def test_a_bot_that_is_killed_in_mid_stream_leaves_an_honest_end(
    relay: RelayServer, glasses: Glasses
) -> None:
    """SIGKILL: what it had said is shown, then the truth, within the grace to come back."""
    async with (
        bot_process(relay) as process,
        glasses.ask(question(relay.bot().user_id)) as answer,
    ):
        await answer.until(lambda answer: len(answer.pieces) == 3)
        process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        await answer.read()
    assert_finished(answer)
    assert answer.text == "012\n抱歉，助手的连接断开了，请稍后再问一次。"
    assert answer.events[-1].at - killed_at <= BOT_GRACE_S + 1.0
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["outcome"], row["sse_chunk_count"]) == ("anomaly", "bot_gone", 3)


async def test_a_bot_that_comes_back_within_the_grace_goes_on(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The glasses notice nothing of the broken connection."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunk(stream_id, 0, "a")
        await bot.acked(stream_id, 1)
        bot.cable.abort()
        async with raw_bot(relay) as again:
            await again.chunk(stream_id, 1, "b")
            await again.end(stream_id, "ab")
            await answer.read()
    assert_finished(answer)
    assert answer.text == "ab"
    assert relay.trace(stream_id)["status"] == "completed"


@asynccontextmanager
async def bot_process(relay: RelayServer) -> AsyncIterator[asyncio.subprocess.Process]:
    """A bot in a process of its own that says 0, 1, 2 and then nothing more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.silent_bot",
        relay.bot_url(),
        cwd=ROOT,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
