"""Answers with the words of the question. RELAY_URL and RELAY_TOKEN say where and as whom."""

import os

from relay_sdk import Bot, Command

bot = Bot(os.environ["RELAY_URL"], os.environ["RELAY_TOKEN"])


@bot.on_command
async def answer(command: Command) -> None:
    """Send each word as soon as it is there."""
    async with bot.reply(command) as reply:
        for word in command.text.split():
            await reply.write(word + " ")


bot.run()
