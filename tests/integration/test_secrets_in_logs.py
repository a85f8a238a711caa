from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.bots import raw_bot
from tests.support.cable import open_cable, to_json
from tests.support.glasses import Glasses, question
from tests.support.server import RelayServer

CANARY = "canary-4711"


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_no_credential_is_in_any_line_of_the_log(
    own_relay: RelayServer, log_format: str
) -> None:
    """Tokens, keys and tickets, right and wrong ones, in query, header, body and identifier."""
    own_relay.settings |= {"RELAY_LOG_LEVEL": "debug", "RELAY_LOG_FORMAT": log_format}
    own_relay.start()
    own_relay.secrets.append(CANARY)
    glasses = Glasses(own_relay.url, own_relay.key)
    async with (
        raw_bot(own_relay) as bot,
        httpx.AsyncClient(base_url=own_relay.url, trust_env=False) as http,
    ):
        headers = {"Authorization": f"Bearer {own_relay.key}"}
        triggered = await http.post(
            "/api/rokid/trigger", json=question(own_relay.bot().user_id), headers=headers
        )
        url = triggered.json()["events_url"]
        own_relay.secrets.append(url.partition("ticket=")[2])
        await bot.answer(await bot.command(), ["private words"])
        await http.get(url)
        for path in (f"/streams/x/events?ticket={CANARY}", f"/nowhere?access_key={CANARY}"):
            await http.get(path, headers={"Authorization": f"Bearer {CANARY}"})
        # Not an upgrade, and an upgrade that is none: the server logs such things by itself.
        for upgrade in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}):
            await http.get(f"/cable?sdk_token={own_relay.bot().token}", headers=upgrade)
        await http.get(f"/api/rokid/poll?bot_id=1&session_id=x&access_key={own_relay.key}")
    await glasses.ask_and_read(question("nobody"), key=CANARY)
    await glasses.ask_and_read(b'{"access_key":"' + CANARY.encode() + b'"')
    for query in (f"?sdk_token={CANARY}", f"?access_key={own_relay.key}"):
        async with open_cable(own_relay.cable_url + query) as cable:
            identifier = to_json({"channel": "RokidStreamChannel", "access_key": CANARY})
            with suppress(ConnectionClosed):  # one of the two is refused at once
                await cable.send({"command": "subscribe", "identifier": identifier})
                await cable.send_raw(f'{{"sdk_token":"{CANARY}"')
    own_relay.terminate()
    assert "bot_connected" in own_relay.log
    assert own_relay.complaints() == []


async def test_what_is_said_is_in_no_line_of_the_log(own_relay: RelayServer) -> None:
    """Neither question nor answer, at the level that operators run it with."""
    own_relay.start()
    own_relay.secrets += ["天气怎么样", "private words", "MALFORMED"]
    glasses = Glasses(own_relay.url, own_relay.key)
    async with (
        raw_bot(own_relay) as bot,
        glasses.ask(question(own_relay.bot().user_id)) as answer,
    ):
        await bot.cable.send_raw('{"MALFORMED')
        await bot.answer(await bot.command(), ["private words"])
        await answer.read()
    own_relay.terminate()
    assert own_relay.complaints() == []
