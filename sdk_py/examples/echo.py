"""Answers with the words of the question: RELAY_URL=... RELAY_TOKEN=... python echo.py."""

import os

from relay_sdk import Bot

bot = Bot(os.environ["RELAY_URL"], os.environ["RELAY_TOKEN"])


@bot.on_command
async def echo(command):
    async with bot.reply(command) as reply:
        for word in command.text.split():
            await reply.write(word + " ")


bot.run()
