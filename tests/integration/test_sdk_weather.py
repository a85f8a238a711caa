"""The SDK against the real relay, through a proxy that drops, repeats, delays and cuts."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from relay_sdk import Bot, Command, ConnectionTimes, Device, FollowUp, ReplyOutcome, SenderLimits
from relay_sdk import ToolCall as Tool
from tests.support.server import RelayServer
from tests.support.weather_proxy import Weather, WeatherProxy

QUICK = ConnectionTimes(first_delay_s=0.02, close_timeout_s=0.5)
LIMITS = SenderLimits(ack_timeout_s=0.2)
CHUNKS = 100


@pytest.mark.parametrize(
    "weather",
    [
        Weather(dropped=0.15),
        Weather(repeated=0.5),
        Weather(delayed=0.1),
        Weather(cut=0.01),
        Weather(dropped=0.05, repeated=0.2, delayed=0.05, cut=0.005),
    ],
    ids=["dropped", "repeated", "delayed", "cut", "all"],
)
async def test_no_weather_costs_or_repeats_a_character(
    relay: RelayServer, weather: Weather
) -> None:
    """Three answers at once: text, tool call and suggestions arrive, each once and in its place."""
    outcomes: list[ReplyOutcome] = []
    async with WeatherProxy(relay.port, weather, Random(1)) as proxy:
        bot = Bot(proxy.url, relay.bot().token, times=QUICK, limits=LIMITS)

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                for number in range(CHUNKS):
                    await reply.write(f"{command.text}{number};")
                    if number == CHUNKS // 2:
                        await reply.take_photo()
                    await asyncio.sleep(0.002)
                await reply.follow_up("And then?")
            outcomes.append(await reply.closed())

        async with bot, Device(relay.url, relay.key, user_id=relay.bot().user_id) as device:
            await bot.connected()

            async def ask(text: str) -> None:
                seen = device.ask(text)
                others = [event async for event in seen if isinstance(event, Tool | FollowUp)]
                assert seen.text == "".join(f"{text}{number};" for number in range(CHUNKS))
                assert [type(event) for event in others] == [Tool, FollowUp]
                assert seen.outcome is not None
                assert seen.outcome.outcome == "completed"

            async with asyncio.timeout(60):
                await asyncio.gather(ask("a"), ask("b"), ask("c"))
            await bot.stop()
    assert outcomes == [ReplyOutcome("completed", CHUNKS + 2, ())] * 3
    expected = {
        name for name in ("dropped", "repeated", "delayed", "cut") if getattr(weather, name)
    }
    assert {name for name, count in proxy.did.items() if count} >= expected
