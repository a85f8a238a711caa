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


def test_for_people_a_bots_token_is_printed_with_its_name(relay: Relay) -> None:
    """In plain lines."""
    assert "sdk_token  " in relay("bot", "add", "x").out


def test_a_given_token_is_taken_as_it_is(relay: Relay) -> None:
    """Bots that are configured already go on working."""
    answer = relay("bot", "add", "b", "--token", "t" * 40, "--json").out
    assert json.loads(answer)["sdk_token"] == "t" * 40


def test_a_short_token_is_taken_with_a_warning(relay: Relay) -> None:
    """On stderr, so that a program still reads its JSON; the token is not repeated."""
    done = relay("bot", "add", "b", "--token", "canary", "--json")
    assert done.code == 0
    assert json.loads(done.out)["sdk_token"] == "canary"
    assert "can be guessed" in done.err
    assert "canary" not in done.err


def known(relay: Relay, token: str) -> bool:
    """Whether a relay on this database would let a bot with this token in."""

    async def look() -> bool:
        store = await relay.open()
        bot = await store.bot_by_token(token)
        await store.close()
        return bot is not None

    return asyncio.run(look())


def test_a_bots_token_is_rotated(relay: Relay) -> None:
    """The new one is printed once and works; the old one does not any more."""
    old = json.loads(relay("bot", "add", "Nova", "--json").out)["sdk_token"]
    answer = json.loads(relay("bot", "rotate", "Nova", "--json").out)
    assert list(answer) == ["bot_id", "name", "sdk_token"]
    assert (answer["bot_id"], answer["name"]) == (1, "Nova")
    assert (known(relay, old), known(relay, answer["sdk_token"])) == (False, True)
    assert "sdk_token  " in relay("bot", "rotate", "1").out


def test_a_bots_token_is_revoked_without_a_question(relay: Relay) -> None:
    """And the list says so."""
    token = json.loads(relay("bot", "add", "Nova", "--json").out)["sdk_token"]
    assert relay("bot", "revoke", "Nova").out == "bot 1 (Nova) has no token any more\n"
    assert not known(relay, token)
    assert json.loads(relay("bot", "revoke", "1", "--json").out)["revoked"] is True
    assert "revoked" in relay("bot", "list").out.splitlines()[1]


def test_bots_are_listed_without_a_secret(relay: Relay) -> None:
    """Only the beginning of a token, by which an operator tells two apart."""
    token = json.loads(relay("bot", "add", "Nova", "--user-id", "u1", "--json").out)["sdk_token"]
    assert relay("bot", "list").out.splitlines()[1].split()[:2] == ["1", f"{token[:8]}…"]
    (bot,) = json.loads(relay("bot", "list", "--json").out)
    assert (bot["bot_id"], bot["user_id"], bot["revoked"]) == (1, "u1", False)
    assert "token_hash" not in bot


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_a_bot_that_is_not_there_is_an_error(relay: Relay, verb: str) -> None:
    """On one line."""
    done = relay("bot", verb, "nobody")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("relay: there is no ")
