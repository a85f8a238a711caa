"""Bots of the SDK that reconnect at once, for tests against the scripted relay."""

from __future__ import annotations

from relay.protocol.sending import SenderLimits
from relay_sdk import Bot, ConnectionTimes
from tests.support.fake_cable import FakeRelay

QUICK = ConnectionTimes(first_delay_s=0.01, delay_max_s=0.05, close_timeout_s=0.2)
PATIENT = SenderLimits(ack_timeout_s=3600.0)
"""Nothing in a test with these limits happens because time has passed."""
HASTY = SenderLimits(ack_timeout_s=0.05, give_up_s=3600.0)


def make_bot(relay: FakeRelay, limits: SenderLimits = PATIENT) -> Bot:
    """A bot that reconnects at once."""
    return Bot(relay.url, "secret-token", limits=limits, times=QUICK)


async def serve(bot: Bot) -> None:
    """Run the bot until the relay refuses it."""
    async with bot:
        await bot.serve()
