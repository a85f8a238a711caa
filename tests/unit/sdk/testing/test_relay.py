from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.protocol.events import Chunk, End
from relay.protocol.sending import SenderLimits
from relay_sdk import Bot, Command, ConnectionTimes, Fenced, Unauthorized, UsageError
from relay_sdk.testing import FakeRelay, Limits

QUICK = ConnectionTimes(first_delay_s=0.01, delay_max_s=0.02, close_timeout_s=0.2)
HASTY = SenderLimits(ack_timeout_s=0.05)


def counting(relay: FakeRelay, count: int, limits: SenderLimits = HASTY) -> Bot:
    """A bot that answers every question with numbers."""
    bot = Bot(relay.url, relay.token, times=QUICK, limits=limits)

    @bot.on_command
    async def answer(command: Command) -> AsyncIterator[str]:
        for number in range(count):
            yield f"{number} "
            await asyncio.sleep(0)

    return bot


def numbers(count: int) -> str:
    """What a counting bot answers."""
    return "".join(f"{number} " for number in range(count))


async def test_an_answer_is_seen_from_both_ends() -> None:
    """What a device is shown, and what the bot sent for it."""
    async with FakeRelay() as relay, counting(relay, 2):
        answer = await relay.ask("count")
    assert (answer.text, answer.outcome, answer.whole) == ("0 1 ", "completed", True)
    assert (answer.total_chunks, answer.missing) == (2, ())
    assert answer.chunks == ((0, "0 "), (1, "1 "))
    assert answer.sent[:2] == (Chunk("0 ", 0), Chunk("1 ", 1))
    assert isinstance(answer.sent[2], End)
    assert (answer.error, answer.shown, answer.tool_calls, answer.follow_up) == ("", "", (), ())


async def test_the_question_reaches_the_handler_with_all_that_a_device_says() -> None:
    """Text, images, ids and context, as the real relay passes them on."""
    async with FakeRelay() as relay:
        bot = Bot(relay.url, relay.token, times=QUICK)
        asked: list[Command] = []

        @bot.on_command
        async def answer(command: Command) -> str:
            asked.append(command)
            return "ok"

        async with bot:
            await relay.ask(
                "What is this?",
                images=["https://h/1.webp"],
                metadata={"battery": "28"},
                conversation_id="c1",
                user_id="ada",
            )
    command = asked[0]
    assert (command.text, command.images) == ("What is this?", ("https://h/1.webp",))
    assert (command.conversation_id, command.user_id) == ("c1", "ada")
    assert command.device.battery == "28"
    assert command.trace_id == f"trace_{command.stream_id}"


@pytest.mark.parametrize("every", [2, 3, 7])
async def test_lost_chunks_are_asked_for_and_arrive(every: int) -> None:
    """The text is whole, and the bot sent more than it consists of."""
    async with FakeRelay() as relay, counting(relay, 40):
        with relay.drop_chunks(every=every):
            answer = await relay.ask("count")
    assert (answer.text, answer.outcome) == (numbers(40), "completed")
    assert len(answer.sent) > 41


async def test_every_kind_of_weather_at_once() -> None:
    """Chunks lost and doubled, acknowledgements lost and late: the text is whole."""
    async with FakeRelay() as relay, counting(relay, 60):
        with (
            relay.drop_chunks(every=5),
            relay.repeat_chunks(every=3),
            relay.drop_acks(every=2),
            relay.delay_acks(0.01),
        ):
            answer = await relay.ask("count")
    assert (answer.text, answer.outcome) == (numbers(60), "completed")


async def test_withheld_acks_stop_the_bot_at_its_credit() -> None:
    """It goes on, and sends no chunk again, when the block ends."""
    async with FakeRelay(limits=Limits(credit=8)) as relay:
        patient = SenderLimits(ack_timeout_s=3600.0)
        async with counting(relay, 20, patient), relay.asking("count") as question:
            with relay.withhold_acks():
                await question.received(8)
                await asyncio.sleep(0.05)
            answer = await question.answer()
    assert answer.text == numbers(20)
    assert [message for message in answer.sent if isinstance(message, Chunk)] == [
        Chunk(f"{number} ", number) for number in range(20)
    ]


async def test_a_cut_is_survived_and_counted() -> None:
    """The bot comes back and sends only what is not stored."""
    async with FakeRelay() as relay, counting(relay, 30):
        async with relay.asking("count") as question:
            await question.received(5)
            relay.cut()
            answer = await question.answer()
        assert relay.connections == 2
    assert (answer.text, answer.outcome) == (numbers(30), "completed")
    assert answer.sent.count(Chunk("0 ", 0)) == 1


async def test_a_relay_that_is_offline_refuses_connections_until_the_block_ends() -> None:
    """The bot tries again and again, and its answer arrives."""
    async with FakeRelay() as relay, counting(relay, 30), relay.asking("count") as question:
        await question.received(5)
        with relay.offline():
            await asyncio.sleep(0.1)
            assert relay.connections == 1
        answer = await question.answer()
    assert answer.text == numbers(30)


async def test_a_relay_that_is_restarted_has_forgotten_and_is_told_everything_again() -> None:
    """As with kill -9 and the memory broker: the first chunk is sent twice, and shown once."""
    async with FakeRelay() as relay, counting(relay, 30), relay.asking("count") as question:
        await question.received(5)
        relay.restart()
        answer = await question.answer()
    assert (answer.text, answer.outcome) == (numbers(30), "completed")
    assert answer.sent.count(Chunk("0 ", 0)) == 2


async def test_a_bot_that_is_back_after_a_restart_is_not_waited_for_any_more() -> None:
    """The grace for bots that are away is over for it, however long its answer takes."""
    async with FakeRelay(limits=Limits(bot_grace_s=1.0)) as relay:
        bot = Bot(relay.url, relay.token, times=QUICK)

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            yield "one "
            await asyncio.sleep(1.2)  # longer than the grace: that is the test
            yield "two"

        async with bot, relay.asking("hi") as question:
            await question.received(1)
            relay.restart()
            got = await question.answer()
    assert (got.text, got.outcome) == ("one two", "completed")


async def test_a_bot_that_does_not_come_back_is_gone() -> None:
    """The answer ends after the relay's grace, with what was there."""
    async with FakeRelay(limits=Limits(bot_grace_s=0.05)) as relay:
        bot = Bot(relay.url, relay.token, times=QUICK)

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            yield "half"
            await asyncio.Event().wait()

        async with bot, relay.asking("hi") as question:
            await question.received(1)
            with relay.offline():
                got = await question.answer()
            await bot.stop(grace_s=0)
    assert (got.text, got.outcome) == ("half", "bot_gone")


async def test_a_failure_is_told_with_what_the_bot_said() -> None:
    """Its text is in no other place."""
    async with FakeRelay() as relay:
        bot = Bot(relay.url, relay.token, times=QUICK)

        @bot.on_command
        async def answer(command: Command) -> str:
            raise ValueError

        async with bot:
            got = await relay.ask("hi")
    assert (got.outcome, got.error, got.text, got.whole) == ("failed", "ValueError", "", False)


async def test_cancelling_a_question_hangs_up() -> None:
    """The handler is cancelled, as by a device that has gone."""
    async with FakeRelay() as relay:
        bot = Bot(relay.url, relay.token, times=QUICK)
        cancelled = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            yield "a"
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with bot:
            async with relay.asking("hi") as question:
                await question.received(1)
            await cancelled.wait()
            assert (await question.answer()).outcome == "cancelled"


async def test_several_questions_at_once_are_kept_apart() -> None:
    """Each has its own stream."""
    async with FakeRelay() as relay:
        bot = Bot(relay.url, relay.token, times=QUICK)

        @bot.on_command
        async def answer(command: Command) -> str:
            return command.text

        async with bot:
            answers = await asyncio.gather(*(relay.ask(text) for text in "abc"))
    assert [answer.text for answer in answers] == ["a", "b", "c"]


async def test_a_wrong_token_is_refused() -> None:
    """In the way in which the real relay does it."""
    async with FakeRelay() as relay:
        bot = Bot(relay.url, "wrong", times=QUICK)
        with pytest.raises(Unauthorized):
            async with bot:
                await bot.serve()
        assert relay.connections == 0


async def test_a_second_bot_fences_the_first() -> None:
    """One process per token."""
    async with FakeRelay() as relay:
        first, second = counting(relay, 1), counting(relay, 2)
        serving = asyncio.create_task(_serve(first))
        await relay.connected()
        async with second:
            await second.connected()
            assert (await relay.ask("count")).text == numbers(2)
            with pytest.raises(Fenced):
                await serving


async def _serve(bot: Bot) -> None:
    async with bot:
        await bot.serve()


async def test_a_bot_that_never_connects_is_told_apart_from_one_that_is_slow() -> None:
    """The message says what to look at."""
    async with FakeRelay(patience_s=0.02) as relay:
        with pytest.raises(UsageError, match=r"relay\.token"):
            await relay.ask("hi")


def test_a_relay_that_does_not_run_has_no_url() -> None:
    """The message says how to run it."""
    with pytest.raises(UsageError, match="async with FakeRelay"):
        _ = FakeRelay().url


async def test_a_bot_that_starts_late_is_waited_for() -> None:
    """Bot and question may start at the same time."""
    async with FakeRelay() as relay:
        asking = asyncio.create_task(relay.ask("count"))
        await asyncio.sleep(0)
        async with counting(relay, 1):
            assert (await asking).text == numbers(1)


async def test_a_question_waits_for_the_bot_that_comes_and_not_for_the_one_that_went() -> None:
    """After a cut, a restart, or another bot's end; none of them is told the question and lost."""
    async with FakeRelay() as relay:
        async with counting(relay, 3):
            assert (await relay.ask("Count.")).outcome == "completed"
            relay.cut()
            assert (await relay.ask("Count.")).outcome == "completed"
            relay.restart()
            assert (await relay.ask("Count.")).outcome == "completed"
        async with counting(relay, 4):
            assert (await relay.ask("Count.")).text == numbers(4)
