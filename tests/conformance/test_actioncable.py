from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from tests.support.bots import raw_bot
from tests.support.cable import Cable, Frame, open_cable, to_json
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

SUBPROTOCOL = "actioncable-v1-json"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Pings that a test can wait for."""
    return {"cable_ping_seconds": "0.1"}


def bot_channel(relay: RelayServer, number: int = 0) -> str:
    """The identifier as the existing SDKs write it."""
    return to_json({"channel": "BotChannel", "bot_id": str(relay.bot(number).bot_id)})


async def silent(cable: Cable, identifier: str) -> None:
    """Wait until all that was sent is acted on."""
    start = len(cable.frames)
    await cable.perform(identifier, {"action": "ping"})
    await cable.wait_message("pong", after=start)


# --- the connection -----------------------------------------------------------------------------


async def test_the_first_frame_is_the_welcome(relay: RelayServer) -> None:
    """Nothing comes before it, and it holds nothing else."""
    async with open_cable(relay.bot_url()) as cable:
        await cable.wait(lambda _: True)
    assert cable.frames[0] == {"type": "welcome"}


async def test_pings_are_integers_that_increase(relay: RelayServer) -> None:
    """Unix seconds at first; strictly more each time, however often they come."""
    async with open_cable(relay.bot_url()) as cable:
        await cable.wait_pings(5)
    values = [ping["message"] for ping in cable.pings]
    assert all(type(value) is int for value in values)
    assert values == sorted(set(values))
    assert all(set(ping) == {"type", "message"} for ping in cable.pings)


async def test_a_credential_may_come_in_the_header(relay: RelayServer) -> None:
    """`Authorization: Bearer` serves bots and workers alike."""
    for bearer in (relay.bot().token, relay.key):
        async with open_cable(relay.cable_url, bearer=bearer) as cable:
            await cable.wait(lambda frame: frame == {"type": "welcome"})


async def test_an_unauthorized_client_is_told_to_stay_away(relay: RelayServer) -> None:
    """The upgrade succeeds, one `disconnect` comes instead of the welcome, then the close."""
    async with open_cable(f"{relay.cable_url}?sdk_token=nobody") as cable:
        await cable.wait_closed()
    assert cable.frames == [{"type": "disconnect", "reason": "unauthorized", "reconnect": False}]
    assert cable.socket.close_code == 1000


async def test_a_wrong_access_key_does_not_fall_through_to_the_token(relay: RelayServer) -> None:
    """The first credential that is given decides."""
    async with open_cable(relay.bot_url() + "&access_key=wrong") as cable:
        await cable.wait_closed()
    assert cable.frames[0]["reason"] == "unauthorized"


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ((), None),
        ((SUBPROTOCOL,), SUBPROTOCOL),
        ((SUBPROTOCOL, "actioncable-unsupported"), SUBPROTOCOL),
        (("actioncable-unsupported", SUBPROTOCOL, "my-token"), SUBPROTOCOL),
        (("actioncable-unsupported",), None),
        (("actioncable-v1-ext-json",), None),
    ],
)
async def test_the_one_sub_protocol_is_selected_where_it_is_offered(
    relay: RelayServer, offered: tuple[str, ...], selected: str | None
) -> None:
    """Stock clients leave for good where they get another one, SDKs offer none."""
    async with open_cable(relay.bot_url(), subprotocols=offered) as cable:
        await cable.wait(lambda frame: frame == {"type": "welcome"})
        assert cable.socket.subprotocol == selected


async def test_frames_that_come_before_the_welcome_are_not_lost(relay: RelayServer) -> None:
    """A client that does not wait for it is served in order behind it."""
    identifier = bot_channel(relay)
    async with connect(relay.bot_url(), compression=None) as socket:
        # Nothing was read yet: the frames leave in one go, right behind the upgrade.
        for frame in (
            {"command": "subscribe", "identifier": identifier},
            {"command": "message", "identifier": identifier, "data": '{"action":"ping"}'},
        ):
            await socket.send(to_json(frame))
        received: list[Frame] = []
        while len(received) < 4:
            frame = json.loads(await socket.recv())
            if frame.get("type") != "ping":
                received.append(frame)
    assert received[0] == {"type": "welcome"}
    assert received[1]["message"]["type"] == "connected"
    assert received[2]["type"] == "confirm_subscription"
    assert received[3]["message"]["type"] == "pong"


async def test_sigterm_tells_clients_to_come_back(own_relay: RelayServer) -> None:
    """`server_restart` with `reconnect` true, then the close; the process ends in good order."""
    own_relay.start()
    async with open_cable(own_relay.bot_url()) as cable:
        confirmed = await cable.subscribe(bot_channel(own_relay))
        assert confirmed["type"] == "confirm_subscription"
        ending = asyncio.create_task(asyncio.to_thread(own_relay.terminate))
        await cable.wait_closed()
        code = await ending
    assert cable.frames[-1] == {"type": "disconnect", "reason": "server_restart", "reconnect": True}
    assert code == 0


async def test_clients_do_not_hear_each_other(relay: RelayServer) -> None:
    """Two bots log at once; each hears its own echo."""
    async with open_cable(relay.bot_url(0)) as ada, open_cable(relay.bot_url(1)) as ben:
        for cable, number in ((ada, 0), (ben, 1)):
            await cable.subscribe(bot_channel(relay, number))
            await cable.perform(
                bot_channel(relay, number), {"action": "log", "message": f"of {number}"}
            )
        for cable, number in ((ada, 0), (ben, 1)):
            await silent(cable, bot_channel(relay, number))
            assert [m["message"] for m in cable.messages("log")] == [f"of {number}"]


# --- subscriptions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        '{{"channel":"BotChannel","bot_id":"{0}"}}',
        '{{"bot_id": {0}, "channel": "BotChannel"}}',
        '{{ "channel" : "BotChannel" }}',
        '{{"channel":"BotChannel","note":"\\u4f60\\n"}}',
    ],
)
async def test_an_identifier_is_echoed_byte_for_byte(relay: RelayServer, template: str) -> None:
    """Clients find their subscription by the string, so spacing and key order stay."""
    identifier = template.format(relay.bot().bot_id)
    async with open_cable(relay.bot_url()) as cable:
        confirmed = await cable.subscribe(identifier)
        await silent(cable, identifier)
    assert confirmed == {"identifier": identifier, "type": "confirm_subscription"}
    assert {f["identifier"] for f in cable.frames if "identifier" in f} == {identifier}


async def test_a_second_subscribe_is_confirmed_again_and_does_nothing(relay: RelayServer) -> None:
    """A stock client repeats it every 0.5 s until it is answered, for ever."""
    identifier = bot_channel(relay)
    async with open_cable(relay.bot_url()) as cable:
        for _ in range(3):
            assert (await cable.subscribe(identifier))["type"] == "confirm_subscription"
        await silent(cable, identifier)
    assert len(cable.messages("connected")) == 1


async def test_a_second_subscription_of_the_bot_on_one_socket_is_rejected(
    relay: RelayServer,
) -> None:
    """Under another identifier it would fence the first one on its own socket."""
    async with open_cable(relay.bot_url()) as cable:
        await cable.subscribe(bot_channel(relay))
        other = await cable.subscribe('{"channel":"BotChannel"}')
        await silent(cable, bot_channel(relay))
    assert other["type"] == "reject_subscription"


async def test_unsubscribe_is_not_answered_and_subscribing_again_works(relay: RelayServer) -> None:
    """Subscribe, unsubscribe, subscribe in one go are acted on in this order."""
    identifier = bot_channel(relay)
    async with open_cable(relay.bot_url()) as cable:
        for command in ("subscribe", "unsubscribe", "subscribe", "unsubscribe"):
            await cable.send({"command": command, "identifier": identifier})
        await cable.perform(identifier, {"action": "ping"})
        refused = await cable.wait(lambda frame: frame.get("type") == "error")
        await cable.subscribe(identifier)
        await silent(cable, identifier)
    assert refused["message"]["code"] == "not_subscribed"
    kinds = [frame["type"] for frame in cable.frames if "type" in frame]
    assert kinds == [
        "welcome",
        "confirm_subscription",
        "confirm_subscription",
        "error",
        "confirm_subscription",
    ]


async def test_an_unknown_channel_is_rejected_each_time(relay: RelayServer) -> None:
    """The rejection frees the identifier, so that asking again is answered again."""
    identifier = '{"channel":"ChatChannel"}'
    async with open_cable(relay.bot_url()) as cable:
        answers = [await cable.subscribe(identifier) for _ in range(2)]
    assert answers == [{"identifier": identifier, "type": "reject_subscription"}] * 2


async def test_pongs_are_taken_without_a_word(relay: RelayServer) -> None:
    """SDKs up to 2.3.10 answer pings with a frame, newer clients with a command."""
    identifier = bot_channel(relay)
    async with open_cable(relay.bot_url()) as cable:
        await cable.subscribe(identifier)
        for frame in ({"type": "pong"}, {"command": "pong"}):
            await cable.send(frame)
        await cable.perform(identifier, {"type": "pong"})
        await cable.perform(identifier, {"action": "pong"})
        before = len(cable.frames)
        await silent(cable, identifier)
    assert len(cable.frames) == before + 1


# --- performing ---------------------------------------------------------------------------------


async def test_each_verb_of_the_bot_channel_is_answered(relay: RelayServer) -> None:
    """The replies of the reference; `command_result` and a blank `response` have none."""
    identifier = bot_channel(relay)
    verbs: list[Frame] = [
        {"action": "status"},
        {"action": "log", "level": "warn", "message": {"any": "JSON"}},
        {"action": "execute_command", "command": "dance", "params": {}},
        {"action": "command_result", "command": "dance", "result": "done"},
        {"action": "response", "content": "hi", "session_id": "S"},
        {"action": "response", "content": " ", "session_id": "S"},
    ]
    async with open_cable(relay.bot_url()) as cable:
        await cable.subscribe(identifier)
        for payload in verbs:
            await cable.perform(identifier, payload)
        await silent(cable, identifier)
    connected, status, log, received, response, pong = cable.messages()
    assert (connected["type"], connected["bot_id"]) == ("connected", relay.bot().bot_id)
    assert (status["type"], status["online"], status["status"]) == (
        "status_response",
        True,
        "online",
    )
    assert status["active_sessions"] == 1
    assert isinstance(status["uptime"], float)
    assert (log["type"], log["level"], log["message"]) == ("log", "warn", {"any": "JSON"})
    assert received == {"type": "command_received", "command": "dance", "status": "processing"}
    assert response == {"type": "response_received", "session_id": "S", "status": "success"}
    assert pong["timestamp"].endswith("+08:00")


async def test_action_wins_over_type(relay: RelayServer) -> None:
    """Both conventions are served; a blank action counts as none."""
    async with raw_bot(relay) as bot:
        await bot.say({"action": " ", "type": "pong"})
        await bot.say({"action": "ping", "type": "stream_chunk"})
        await bot.cable.wait_message("pong")
        await bot.until_silent()
        kinds = [message["type"] for message in bot.cable.messages()]
    assert kinds == ["connected", "pong", "pong"]


async def test_every_message_is_a_filled_object(relay: RelayServer) -> None:
    """@anycable/core drops `""`, 0, false and null in silence."""
    identifier = bot_channel(relay)
    async with open_cable(relay.bot_url()) as cable:
        await cable.subscribe(identifier)
        await cable.send_raw("{")
        await cable.send_raw(json.dumps({"command": "message", "identifier": identifier}))
        await silent(cable, identifier)
    told = [frame["message"] for frame in cable.frames if "message" in frame]
    assert told
    assert all(isinstance(message, dict) and message for message in told)
