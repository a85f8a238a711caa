"""How a bot is tested: pytest test_my_bot.py (with pytest-asyncio in its mode `auto`)."""

import asyncio
from collections.abc import AsyncIterator

from relay_sdk import Bot, Command
from relay_sdk.testing import FakeRelay


def make_bot(url: str, token: str) -> Bot:
    """Return the bot under test."""
    bot = Bot(url, token)

    @bot.on_command
    async def answer(command: Command) -> AsyncIterator[str]:
        for word in command.text.split():
            yield word + " "
            await asyncio.sleep(0)

    return bot


async def test_it_answers_in_bad_weather() -> None:
    """Each third chunk is lost, the connection breaks, and the text is whole."""
    async with FakeRelay() as relay, make_bot(relay.url, relay.token):
        with relay.drop_chunks(every=3):
            async with relay.asking("to be or not to be") as question:
                await question.received(2)
                relay.cut()
                answer = await question.answer()
    assert answer.text == "to be or not to be "
    assert answer.outcome == "completed"
