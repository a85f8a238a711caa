"""A bot for the relay in ten lines; delivery is the SDK's business.

from relay_sdk import Bot

bot = Bot("http://127.0.0.1:8080", token)

@bot.on_command
async def answer(command):
    async with bot.reply(command) as reply:
        await reply.write("Hello ")
        await reply.write("glasses.")

bot.run()
"""

from __future__ import annotations

from relay.protocol.sending import SenderLimits
from relay_sdk.client import Bot
from relay_sdk.command import Command, DeviceContext
from relay_sdk.connection import ConnectionTimes
from relay_sdk.errors import (
    Fenced,
    Refusal,
    Rejected,
    RelaySdkError,
    ReplyClosed,
    Unauthorized,
    UsageError,
)
from relay_sdk.reply import Reply
from relay_sdk.streams import ReplyOutcome

__all__ = [
    "Bot",
    "Command",
    "ConnectionTimes",
    "DeviceContext",
    "Fenced",
    "Refusal",
    "Rejected",
    "RelaySdkError",
    "Reply",
    "ReplyClosed",
    "ReplyOutcome",
    "SenderLimits",
    "Unauthorized",
    "UsageError",
]
