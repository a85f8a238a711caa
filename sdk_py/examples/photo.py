"""Uses the glasses' tools: takes a photo, looks at it, suggests what to ask next, shows the way.

RELAY_URL and RELAY_TOKEN say where and as whom.
"""

import os

from relay_sdk import Bot, Command

bot = Bot(os.environ["RELAY_URL"], os.environ["RELAY_TOKEN"])


@bot.on_command
async def answer(command: Command) -> None:
    """A photo that was asked for comes as the next command of the same conversation."""
    async with bot.reply(command) as reply:
        if command.images:
            # Most image URLs live only for minutes: hand them to the model now.
            await reply.write(f"I see a picture from {command.images[0].split('/')[2]}.")
            await reply.follow_up("Take another one", "Show me the way to the lake")
        elif "way" in command.text:
            await reply.write("Follow me.")
            await reply.navigate("the lake", by="foot")
        else:
            await reply.write("Let me have a look.")
            await reply.take_photo()


bot.run()
