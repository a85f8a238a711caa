"""The SDK's device against the real relay, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from relay_sdk import (
    Bot,
    Command,
    ConnectionTimes,
    Device,
    DeviceTimes,
    Ended,
    Rejected,
    ReplyOutcome,
    Text,
    Unauthorized,
)
from tests.support.contents import CONTENTS
from tests.support.server import RelayServer
from tests.support.wire import Wire

QUICK = ConnectionTimes(first_delay_s=0.02, close_timeout_s=0.5)
TIMES = DeviceTimes(first_delay_s=0.02)


def answering(relay: RelayServer, pieces: list[str], pause_s: float = 0.0) -> Bot:
    """A bot that answers every question with these pieces."""
    bot = Bot(relay.url, relay.bot().token, times=QUICK)

    @bot.on_command
    async def answer(command: Command) -> AsyncIterator[str]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(pause_s)

    return bot


@pytest.mark.parametrize("lingzhu", [False, True])
@pytest.mark.parametrize("kind", CONTENTS)
async def test_every_kind_of_content_arrives(relay: RelayServer, kind: str, lingzhu: bool) -> None:
    """Over both protocols, as a whole and well-formed."""
    pieces = list(CONTENTS[kind])
    async with answering(relay, pieces) as bot:
        await bot.connected()
        async with Device(relay.url, relay.key, user_id=relay.bot().user_id) as device:
            answer = await device.ask("hi", lingzhu=lingzhu).read()
    units = "".join(pieces).encode("utf-16-le", "surrogatepass")
    assert answer.text == units.decode("utf-16-le", "replace")
    assert answer.outcome is not None
    assert answer.outcome.whole
    assert relay.trace(answer.stream_id)["status"] == "completed"


@pytest.mark.parametrize("seed_number", range(3))
async def test_cuts_between_device_and_relay_lose_and_repeat_nothing(
    relay: RelayServer, seed_number: int
) -> None:
    """The device's connection is cut ten times in an answer; each chunk is read exactly once."""
    random = Random(seed_number)
    pieces = [f"{number}, " for number in range(200)]
    when = set(random.sample(range(200), 10))
    async with Wire(relay.port, "http") as wire, answering(relay, pieces, 0.003) as bot:
        await bot.connected()
        async with Device(wire.url, relay.key, user_id=relay.bot().user_id, times=TIMES) as device:
            answer = device.ask("hi")
            sequences = []
            async for event in answer:
                if isinstance(event, Text):
                    sequences.append(event.sequence)
                    if event.sequence in when:
                        wire.cut()
    assert sequences == list(range(200))
    assert answer.text == "".join(pieces)
    assert answer.outcome == Ended("completed", 200)
    assert answer.connections > 1


async def test_a_relay_that_is_killed_costs_not_a_character(own_relay: RelayServer) -> None:
    """SIGKILL in mid-stream, memory broker: the device reads each character once, by itself."""
    own_relay.start()
    bot = Bot(own_relay.url, own_relay.bot().token, times=QUICK)
    go_on = asyncio.Event()
    outcomes: asyncio.Queue[ReplyOutcome] = asyncio.Queue()

    @bot.on_command
    async def answer(command: Command) -> None:
        async with bot.reply(command) as reply:
            for number in range(100):
                if number == 50:
                    await go_on.wait()
                await reply.write(f"{number}, ")
        outcomes.put_nowait(await reply.closed())

    async with bot:
        await bot.connected()
        user_id = own_relay.bot().user_id
        async with Device(own_relay.url, own_relay.key, user_id=user_id, times=TIMES) as device:
            answered = device.ask("hi", repeats=True)
            repeated: list[int | None] = []
            new: list[int | None] = []
            async for event in answered:
                if not isinstance(event, Text):
                    continue
                (repeated if event.repeated else new).append(event.sequence)
                if len(new) == 50 and not go_on.is_set():
                    await asyncio.to_thread(own_relay.kill)
                    await asyncio.to_thread(own_relay.start)
                    go_on.set()
        assert (await outcomes.get()).whole
    assert new == list(range(100))
    assert repeated == list(range(50))
    assert answered.text == "".join(f"{number}, " for number in range(100))
    assert answered.outcome == Ended("completed", 100)


async def test_what_the_device_says_reaches_the_handler(relay: RelayServer) -> None:
    """Text, images, conversation and context, typed."""
    asked: asyncio.Queue[Command] = asyncio.Queue()
    bot = Bot(relay.url, relay.bot().token, times=QUICK)

    @bot.on_command
    async def answer(command: Command) -> str:
        asked.put_nowait(command)
        return "ok"

    async with (
        bot,
        Device(relay.url, relay.key, user_id=relay.bot().user_id, lang="en-GB") as device,
    ):
        await bot.connected()
        url = "https://pictures.test/1.webp"
        await device.ask("What is this?", images=[url], metadata={"battery": "28"}).read()
        command = await asked.get()
    assert (command.text, command.images) == ("What is this?", (url,))
    assert command.conversation_id == device.conversation_id
    assert command.user_id == relay.bot().user_id
    assert (command.device.battery, command.device.lang) == ("28", "en-GB")


async def test_hanging_up_cancels_the_handler(relay: RelayServer) -> None:
    """As glasses do it, which do not come back: the model behind the bot stops at once."""
    bot = Bot(relay.url, relay.bot().token, times=QUICK)
    cancelled = asyncio.Event()

    @bot.on_command
    async def answer(command: Command) -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with bot:
        await bot.connected()
        async with Device(relay.url, relay.key, user_id=relay.bot().user_id) as device:
            async for event in device.ask("hi", lingzhu=True):
                assert event == Text("a")
                break
        async with asyncio.timeout(20):
            await cancelled.wait()


async def test_a_bot_that_is_not_there_is_an_outcome(relay: RelayServer) -> None:
    """The question was taken, and the answer says why there is none."""
    async with Device(relay.url, relay.key, user_id=relay.bot(3).user_id) as device:
        answer = await device.ask("hi").read()
    assert (answer.text, answer.outcome) == ("", Ended("bot_offline", 0))


async def test_a_wrong_key_and_a_user_without_a_bot_are_refused(relay: RelayServer) -> None:
    """Each by the type and the code that tell what to do."""
    async with Device(relay.url, "wrong", user_id=relay.bot().user_id) as device:
        with pytest.raises(Unauthorized, match="access key"):
            await device.ask("hi").read()
    async with Device(relay.url, relay.key, user_id="nobody") as device:
        with pytest.raises(Rejected) as caught:
            await device.ask("hi").read()
        assert caught.value.code == "unbound"
