"""The npm package @rails/actioncable, as it is published, on both channels."""

from __future__ import annotations

import httpx
import pytest

from tests.support.bots import raw_bot
from tests.support.cable import to_json
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.node_clients import NodeClient, node_client
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = [BOTH_PATHS, pytest.mark.needs("node")]

TURN = load_incident()[1]
BOT_CHANNEL = '{"channel":"BotChannel"}'


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """The client takes a connection without a frame for stale; the script lets it do so early."""
    return {"cable_ping_seconds": "0.3"}


async def answer(client: NodeClient, glasses: Glasses, relay: RelayServer) -> str:
    """Ask the bot that runs in Node; returns what the glasses show."""
    start = len(client.lines)
    async with glasses.ask(question(relay.bot().user_id)) as shown:
        asked = await client.wait(
            lambda line: (
                line["event"] == "received" and line["message"]["type"] == "execute_command"
            ),
            after=start,
        )
        session_id = asked["message"]["metadata"]["session_id"]
        for sequence, content in enumerate(TURN.chunks):
            chunk = {"session_id": session_id, "sequence": sequence, "content": content}
            if sequence % 2:
                await client.tell(perform="stream_chunk", data=chunk)
            else:
                await client.tell(send={"type": "stream_chunk", **chunk})
        await client.tell(send={"type": "stream_end", "session_id": session_id})
        await shown.read()
    assert_finished(shown)
    return shown.text


async def test_it_serves_as_a_bot(relay: RelayServer, glasses: Glasses) -> None:
    """`perform` and `send` both arrive, each is acknowledged, the sub-protocol is agreed on."""
    async with node_client("cable.mjs", relay.bot_url(), BOT_CHANNEL) as client:
        connected = await client.wait_event("connected")
        text = await answer(client, glasses, relay)
        acks = await client.wait(
            lambda _: (
                sum(
                    line["event"] == "received" and line["message"]["type"] == "chunk_received"
                    for line in client.lines
                )
                == 60
            )
        )
    assert connected["protocol"] == "actioncable-v1-json"
    assert text == TURN.text
    assert acks


async def test_it_reads_as_a_worker(relay: RelayServer) -> None:
    """It subscribes after it triggered and gets all 60 from the start."""
    async with raw_bot(relay) as bot:
        async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as http:
            triggered = await http.post(
                "/api/rokid/trigger",
                json=question(relay.bot().user_id),
                headers={"Authorization": f"Bearer {relay.key}"},
            )
        await bot.answer(await bot.command(), TURN.chunks)
        identifier = {"channel": "RokidStreamChannel", "access_key": relay.key, **triggered.json()}
        url = f"{relay.cable_url}?access_key={relay.key}"
        async with node_client("cable.mjs", url, to_json(identifier)) as client:
            await client.wait(
                lambda line: line["event"] == "received" and line["message"]["type"] == "stream_end"
            )
    told = [line["message"] for line in client.lines if line["event"] == "received"]
    assert "".join(m["content"] for m in told if m["type"] == "stream_chunk") == TURN.text


async def test_it_stays_away_where_it_is_refused(relay: RelayServer) -> None:
    """Neither now nor later: its monitor has stopped."""
    url = f"{relay.cable_url}?sdk_token=wrong"
    async with node_client("cable.mjs", url, BOT_CHANNEL) as client:
        gone = await client.wait_event("disconnected")
        await client.tell(state=True)
        state = await client.wait_event("state")
    assert gone["willAttemptReconnect"] is False
    assert (state["active"], state["polling"]) == (False, False)


async def test_it_is_told_of_a_rejection(relay: RelayServer) -> None:
    """The connection stands, the subscription does not."""
    async with node_client("cable.mjs", relay.bot_url(), '{"channel":"NoSuch"}') as client:
        await client.wait_event("rejected")
        await client.tell(state=True)
        state = await client.wait_event("state")
    assert state["active"] is True


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_it_comes_back_after_a_restart_and_answers(own_relay: RelayServer, how: str) -> None:
    """On the same port, by itself, whether the relay took leave or not."""
    own_relay.settings["RELAY_CABLE_PING_SECONDS"] = "0.3"
    own_relay.start()
    glasses = Glasses(own_relay.url, own_relay.key)
    async with node_client("cable.mjs", own_relay.bot_url(), BOT_CHANNEL) as client:
        await client.wait_event("connected")
        if how == "SIGTERM":
            own_relay.terminate()
        else:
            own_relay.kill()
        gone = await client.wait_event("disconnected")
        start = len(client.lines)
        own_relay.start()
        again = await client.wait_event("connected", after=start)
        assert await answer(client, glasses, own_relay) == TURN.text
    assert gone["willAttemptReconnect"] is True
    assert again["reconnected"] is True
