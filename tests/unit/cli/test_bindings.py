from __future__ import annotations

import asyncio
import json
from datetime import datetime

import pytest

from relay.admin.binding import Redeemed
from relay.devices.binding_code import find_code
from tests.support.command_line import Relay


def redeem(relay: Relay, token: str, user_id: str = "U1") -> Redeemed:
    """Show a token to the database that the commands work on."""

    async def show() -> Redeemed:
        store = await relay.open()
        try:
            desk = store.binding_desk(600)
            code = find_code(token)
            assert code is not None
            return (await desk.redeem(code, user_id=user_id, device_id="D")).result
        finally:
            await store.close()

    return asyncio.run(show())


@pytest.mark.parametrize("name", ["weather", "1"])
def test_a_token_is_printed_for_a_bot_and_works(relay: Relay, name: str) -> None:
    """By its name or its id; the JSON says when it expires."""
    relay("bot", "add", "weather")
    done = relay("bot", "bind", name, "--json")
    answer = json.loads(done.out)
    assert list(answer) == ["binding_id", "bot_id", "name", "token", "expires_at"]
    assert (answer["binding_id"], answer["bot_id"], answer["name"]) == (1, 1, "weather")
    assert datetime.fromisoformat(answer["expires_at"]).tzinfo is not None
    assert redeem(relay, answer["token"]) is Redeemed.BOUND


def test_people_read_the_token_and_see_it_as_a_qr_code(relay: Relay) -> None:
    """A terminal shows the code by itself; a file gets it where it is asked for."""
    relay("bot", "add", "weather")
    plain = relay("bot", "bind", "weather").out
    assert "token    " in plain
    assert "expires  " in plain
    assert "█" not in plain
    assert "█" in relay("bot", "bind", "weather", "--qr").out


def test_a_token_lives_as_long_as_the_setting_says(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`RELAY_BINDING_TTL_SECONDS` counts for the command, too."""
    relay("bot", "add", "weather")
    usual = json.loads(relay("bot", "bind", "weather", "--json").out)["expires_at"]
    monkeypatch.setenv("RELAY_BINDING_TTL_SECONDS", "86400")
    longer = json.loads(relay("bot", "bind", "weather", "--json").out)["expires_at"]
    lived = datetime.fromisoformat(longer) - datetime.fromisoformat(usual)
    assert 85_000 < lived.total_seconds() < 86_400


def test_an_unbound_bot_can_be_bound_to_another_user(relay: Relay) -> None:
    """As long as it has a user there is no token for it."""
    relay("bot", "add", "weather", "--user-id", "U1")
    refused = relay("bot", "bind", "weather")
    assert (refused.code, refused.out) == (1, "")
    assert "unbind it first" in refused.err
    assert relay("bot", "unbind", "weather").out == "bot 1 (weather) has no user\n"
    token = json.loads(relay("bot", "bind", "weather", "--json").out)["token"]
    assert redeem(relay, token, "U2") is Redeemed.BOUND
    told = json.loads(relay("bot", "unbind", "1", "--json").out)
    assert told == {"bot_id": 1, "name": "weather", "user_id": None}


@pytest.mark.parametrize("command", ["bind", "unbind"])
def test_an_unknown_bot_is_named_in_one_line(relay: Relay, command: str) -> None:
    """Nothing is made."""
    done = relay("bot", command, "nobody")
    assert (done.code, done.out, done.err) == (1, "", "relay: there is no bot nobody\n")
