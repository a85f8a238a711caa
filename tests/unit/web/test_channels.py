"""Which channel an identifier opens, and for whom."""

from __future__ import annotations

from tests.unit.web.fakes import Served


async def test_a_worker_channel_opens_on_a_bots_connection_too(web: Served) -> None:
    """It carries its own access key, so it works however the socket was authenticated."""
    async with web.bot() as bot:
        session_id = (await web.trigger())["session_id"]
        await bot.subscribe(
            channel="RokidStreamChannel", access_key="ak_1", bot_id="1", session_id=session_id
        )
        assert (await bot.until("connected"))["session_id"] == session_id


async def test_a_bot_channel_opens_for_bots_only(web: Served) -> None:
    """An access key speaks for no bot."""
    async with web.cable("?access_key=ak_1") as cable:
        await cable.frame()
        await cable.subscribe(channel="BotChannel")
        assert (await cable.frame())["type"] == "reject_subscription"
