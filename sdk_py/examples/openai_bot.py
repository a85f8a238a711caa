"""Answers with a model of any OpenAI-compatible endpoint, token by token.

RELAY_URL and RELAY_TOKEN say where and as whom; OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say which
model. `relay-bot` does this, and more, without a line of code: this is for a bot of your own.
"""

import os
from collections.abc import AsyncIterator

from openai import AsyncOpenAI

from relay_sdk import Bot, Command

bot = Bot(os.environ["RELAY_URL"], os.environ["RELAY_TOKEN"])
model = AsyncOpenAI()


@bot.on_command
async def answer(command: Command) -> AsyncIterator[str]:
    """Pass the tokens on as they come. Where the device hangs up, the request is closed, too."""
    completion = await model.chat.completions.create(
        model=os.environ["MODEL"],
        messages=[
            {
                "role": "system",
                "content": "Answer in two short sentences; they are shown on glasses.",
            },
            {"role": "user", "content": command.text},
        ],
        stream=True,
    )
    async with completion:
        async for chunk in completion:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text


bot.run()
