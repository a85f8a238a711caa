"""A bot for the relay in ten lines; delivery is the SDK's business.

from relay_sdk import Bot

bot = Bot("http://127.0.0.1:8080", token)

@bot.on_command
async def answer(command):
    async with bot.reply(command) as reply:
        await reply.write("Hello ")
        await reply.write("glasses.")

bot.run()

The other side is `relay_sdk.Device`. Tests of a bot use `relay_sdk.testing`, and scripts that are
not async `relay_sdk.sync`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from relay.protocol.sending import SenderLimits
from relay_sdk.client import Bot
from relay_sdk.command import Command, DeviceContext
from relay_sdk.errors import (
    Fenced,
    Refusal,
    Rejected,
    RelaySdkError,
    ReplyClosed,
    Unauthorized,
    Unreachable,
    UsageError,
)
from relay_sdk.reply import Reply
from relay_sdk.streams import ReplyOutcome

if TYPE_CHECKING:
    from relay_sdk.answer import Answer, DeviceTimes
    from relay_sdk.connection import ConnectionTimes
    from relay_sdk.device import Device
    from relay_sdk.device_events import (
        DeviceEvent,
        Ended,
        FollowUp,
        Gap,
        Repair,
        Text,
        ToolCall,
    )

__all__ = [
    "Answer",
    "Bot",
    "Command",
    "ConnectionTimes",
    "Device",
    "DeviceContext",
    "DeviceEvent",
    "DeviceTimes",
    "Ended",
    "Fenced",
    "FollowUp",
    "Gap",
    "Refusal",
    "Rejected",
    "RelaySdkError",
    "Repair",
    "Reply",
    "ReplyClosed",
    "ReplyOutcome",
    "SenderLimits",
    "Text",
    "ToolCall",
    "Unauthorized",
    "Unreachable",
    "UsageError",
]

# A bot is imported without these, so nobody waits for what only some programs use.
_ON_DEMAND = {
    "Answer": "relay_sdk.answer",
    "ConnectionTimes": "relay_sdk.connection",
    "Device": "relay_sdk.device",
    "DeviceEvent": "relay_sdk.device_events",
    "DeviceTimes": "relay_sdk.answer",
    "Ended": "relay_sdk.device_events",
    "FollowUp": "relay_sdk.device_events",
    "Gap": "relay_sdk.device_events",
    "Repair": "relay_sdk.device_events",
    "Text": "relay_sdk.device_events",
    "ToolCall": "relay_sdk.device_events",
}


if not TYPE_CHECKING:  # a type checker knows the names from above, and any other one is a mistake

    def __getattr__(name: str) -> object:
        if (module := _ON_DEMAND.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(module), name)
