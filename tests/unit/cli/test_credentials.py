from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.support.command_line import Relay


def test_a_bot_is_added_to_a_fresh_file_and_its_token_shown(relay: Relay) -> None:
    """The JSON is that of the documentation, on a line of its own, and the token works."""
    done = relay("bot", "add", "Nova", "--user-id", "u1", "--json")
    answer = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert list(answer) == ["bot_id", "name", "sdk_token"]
    assert (answer["bot_id"], answer["name"]) == (1, "Nova")
    assert re.fullmatch("[0-9a-f]{64}", answer["sdk_token"])

    async def check() -> None:
        store = await relay.open()
        bot = await store.bot_by_token(answer["sdk_token"])
        await store.close()
        assert bot is not None
        assert bot.rokid_user_id == "u1"

    asyncio.run(check())


def test_an_access_key_is_added_and_shown(relay: Relay) -> None:
    """As documented."""
    answer = json.loads(relay("key", "add", "glasses", "--json").out)
    assert list(answer) == ["id", "name", "access_key"]
    assert (answer["id"], answer["name"]) == (1, "glasses")
    assert re.fullmatch("ak_[0-9a-f]{64}", answer["access_key"])


def test_an_administrators_token_is_made_and_shown(relay: Relay) -> None:
    """As documented."""
    answer = json.loads(relay("admin", "token", "--json").out)
    assert list(answer) == ["admin_token"]
    assert re.fullmatch("adm_[0-9a-f]{64}", answer["admin_token"])


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("bot", "add", "x"), "sdk_token "),
        (("key", "add", "x"), "access_key "),
        (("admin", "token"), "admin_token "),
    ],
)
def test_for_people_the_secret_is_printed_with_its_name(
    relay: Relay, args: tuple[str, ...], word: str
) -> None:
    """In plain lines."""
    done = relay(*args)
    assert done.code == 0
    assert word in done.out


def test_a_given_token_is_taken_as_it_is(relay: Relay) -> None:
    """Bots and devices that are configured already go on working."""
    token, key = "t" * 40, "k" * 40
    assert (
        json.loads(relay("bot", "add", "b", "--token", token, "--json").out)["sdk_token"] == token
    )
    assert json.loads(relay("key", "add", "k", "--key", key, "--json").out)["access_key"] == key


def test_a_short_token_is_taken_with_a_warning(relay: Relay) -> None:
    """On stderr, so that a program still reads its JSON; the token is not repeated."""
    done = relay("bot", "add", "b", "--token", "canary", "--json")
    assert done.code == 0
    assert json.loads(done.out)["sdk_token"] == "canary"
    assert "can be guessed" in done.err
    assert "canary" not in done.err
