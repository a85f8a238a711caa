"""The relay's process stands still, as with SIGSTOP or a paused machine, while a bot goes on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from tests.support.bots import RawBot, raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.server import RelayServer

TEXTS = [f"{number} " for number in range(200)]
LIMIT_S = 1.0
STOP_S = 1.6


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """So short that all of it is over by the time that the relay goes on."""
    return {
        "barrier_seconds": str(LIMIT_S),
        "gap_seconds": str(LIMIT_S),
        "idle_seconds": str(LIMIT_S),
    }


async def hold(bot: RawBot, stream_id: str) -> None:
    """The end is held for its missing chunks."""
    await bot.chunk(stream_id, 1, TEXTS[1])
    await bot.end(stream_id, TEXTS)
    await bot.cable.wait_message("missing", session_id=stream_id)


async def gap(bot: RawBot, stream_id: str) -> None:
    """What came waits for the missing chunk before it."""
    await bot.chunk(stream_id, 1, TEXTS[1])
    await bot.cable.wait_message("missing", session_id=stream_id)


async def silence(bot: RawBot, stream_id: str) -> None:
    """Nothing is missing, and nothing more has come."""
    await bot.chunk(stream_id, 1, TEXTS[1])
    await bot.chunk(stream_id, 0, TEXTS[0])
    await bot.acked(stream_id, 2)


@pytest.mark.parametrize("waits", [hold, gap, silence])
async def test_what_came_while_the_relay_was_stopped_is_read_before_a_time_is_over(
    relay: RelayServer, waits: Callable[[RawBot, str], Awaitable[None]]
) -> None:
    """The bot was in time, so its answer is whole."""
    glasses = Glasses(relay.url, relay.key)
    process = relay.process
    assert process is not None
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await waits(bot, stream_id)
        process.send_signal(signal.SIGSTOP)
        try:
            await bot.chunks(stream_id, TEXTS)
            await bot.end(stream_id, TEXTS)
            await asyncio.sleep(STOP_S)  # the fault: so long it stands still
        finally:
            process.send_signal(signal.SIGCONT)
        closed = await bot.cable.wait_message("stream_closed", session_id=stream_id)
        await answer.read()
    assert (closed["outcome"], closed["missing"]) == ("completed", [])
    assert answer.text == "".join(TEXTS)
