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


# --- listing, rotating, revoking --------------------------------------------------------


def known(relay: Relay, *, token: str = "", key: str = "") -> bool:
    """Whether a relay on this database would let a bot with this token, or this key, in."""

    async def look() -> bool:
        store = await relay.open()
        bot, row = await store.bot_by_token(token), await store.access_key_by_key(key)
        await store.close()
        return (bot or row) is not None

    return asyncio.run(look())


def test_a_bots_token_is_rotated(relay: Relay) -> None:
    """The new one is printed once and works; the old one does not any more."""
    old = json.loads(relay("bot", "add", "Nova", "--json").out)["sdk_token"]
    answer = json.loads(relay("bot", "rotate", "Nova", "--json").out)
    assert list(answer) == ["bot_id", "name", "sdk_token"]
    assert (answer["bot_id"], answer["name"]) == (1, "Nova")
    assert (known(relay, token=old), known(relay, token=answer["sdk_token"])) == (False, True)
    assert "sdk_token  " in relay("bot", "rotate", "1").out


def test_a_bots_token_is_revoked_without_a_question(relay: Relay) -> None:
    """And the list says so."""
    token = json.loads(relay("bot", "add", "Nova", "--json").out)["sdk_token"]
    assert relay("bot", "revoke", "Nova").out == "bot 1 (Nova) has no token any more\n"
    assert not known(relay, token=token)
    assert json.loads(relay("bot", "revoke", "1", "--json").out)["revoked"] is True
    assert "revoked" in relay("bot", "list").out.splitlines()[1]


def test_an_access_key_is_rotated_and_revoked(relay: Relay) -> None:
    """A revoked one cannot be rotated."""
    old = json.loads(relay("key", "add", "glasses", "--json").out)["access_key"]
    new = json.loads(relay("key", "rotate", "glasses", "--json").out)["access_key"]
    assert (known(relay, key=old), known(relay, key=new)) == (False, True)
    assert "access_key  ak_" in relay("key", "rotate", "1").out
    assert relay("key", "revoke", "glasses").out == "access key 1 (glasses) is revoked\n"
    assert json.loads(relay("key", "revoke", "1", "--json").out)["revoked_at"]
    assert relay("key", "rotate", "1").err == "relay: access key 1 was revoked; add another\n"


def test_bots_and_keys_are_listed_without_a_secret(relay: Relay) -> None:
    """Only the beginning of a token, by which an operator tells two apart."""
    token = json.loads(relay("bot", "add", "Nova", "--user-id", "u1", "--json").out)["sdk_token"]
    key = json.loads(relay("key", "add", "glasses", "--json").out)["access_key"]
    bots, keys = relay("bot", "list"), relay("key", "list")
    assert bots.out.splitlines()[1].split()[:2] == ["1", f"{token[:8]}…"]
    assert keys.out.splitlines()[1].split()[1:4] == [f"{key[:8]}…", "valid", "never"]
    (bot,) = json.loads(relay("bot", "list", "--json").out)
    (row,) = json.loads(relay("key", "list", "--json").out)
    assert (bot["bot_id"], bot["user_id"], bot["revoked"]) == (1, "u1", False)
    assert (row["id"], row["revoked_at"], row["key_prefix"]) == (1, None, key[:8])
    assert not {"token_hash", "key_hash"} & {*bot, *row}


@pytest.mark.parametrize("args", [("bot", "rotate"), ("bot", "revoke"), ("key", "revoke")])
def test_who_is_not_there_is_an_error(relay: Relay, args: tuple[str, str]) -> None:
    """On one line."""
    done = relay(*args, "nobody")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("relay: there is no ")
