from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.support.command_line import Relay


def test_an_access_key_is_added_and_shown(relay: Relay) -> None:
    """As documented."""
    answer = json.loads(relay("key", "add", "glasses", "--json").out)
    assert list(answer) == ["id", "name", "access_key"]
    assert (answer["id"], answer["name"]) == (1, "glasses")
    assert re.fullmatch("ak_[0-9a-f]{64}", answer["access_key"])


def test_for_people_a_key_is_printed_with_its_name(relay: Relay) -> None:
    """In plain lines, without a scope where it has none."""
    out = relay("key", "add", "x").out
    assert "access_key  " in out
    assert "scope" not in out


def test_a_given_key_is_taken_as_it_is(relay: Relay) -> None:
    """Devices that are configured already go on working."""
    answer = relay("key", "add", "k", "--key", "k" * 40, "--json").out
    assert json.loads(answer)["access_key"] == "k" * 40


def test_a_key_is_added_for_some_agents_bots_and_users(relay: Relay) -> None:
    """Bots by name or id; ids of any characters stay as they are."""
    relay("bot", "add", "Nova")
    relay("bot", "add", "Vega")
    args = ("--agent", "a_1", "--agent", "a:/1", "--bot", "Vega", "--bot", "1", "--user", "u,1")
    answer = json.loads(relay("key", "add", "glasses", *args, "--json").out)
    assert list(answer) == ["id", "name", "access_key", "scope"]
    scope = {"agents": ["a:/1", "a_1"], "bots": [1, 2], "users": ["u,1"]}
    assert answer["scope"] == json.loads(relay("key", "list", "--json").out)[0]["scope"] == scope
    words = "agents a:/1, a_1; bots 1, 2; users u,1"
    assert words in relay("key", "list").out
    assert words in relay("key", "add", "more", *args).out


def test_a_key_is_given_another_scope(relay: Relay) -> None:
    """It takes the place of the old one; everything has to be said."""
    relay("key", "add", "glasses", "--agent", "a", "--user", "u")
    done = relay("key", "scope", "glasses", "--agent", "b")
    assert done.out == "access key 1 (glasses) may ask: agents b\n"
    answer = json.loads(relay("key", "scope", "1", "--everything", "--json").out)
    assert answer == {
        "id": 1,
        "name": "glasses",
        "scope": {"agents": None, "bots": None, "users": None},
    }
    for args in ((), ("--everything", "--agent", "a")):
        done = relay("key", "scope", "glasses", *args)
        assert (done.code, done.out) == (2, "")
        assert "--everything" in done.err


@pytest.mark.parametrize("args", [("--bot", "nobody"), ("--agent", ""), ("--user", "u" * 257)])
def test_a_scope_of_what_cannot_be_is_an_error(relay: Relay, args: tuple[str, str]) -> None:
    """On one line, and no key is made."""
    done = relay("key", "add", "glasses", *args)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("relay: ")
    assert json.loads(relay("key", "list", "--json").out) == []


def known(relay: Relay, key: str) -> bool:
    """Whether a relay on this database would take this key."""

    async def look() -> bool:
        store = await relay.open()
        row = await store.access_key_by_key(key)
        await store.close()
        return row is not None

    return asyncio.run(look())


def test_an_access_key_is_rotated_and_revoked(relay: Relay) -> None:
    """A revoked one cannot be rotated."""
    old = json.loads(relay("key", "add", "glasses", "--json").out)["access_key"]
    new = json.loads(relay("key", "rotate", "glasses", "--json").out)["access_key"]
    assert (known(relay, old), known(relay, new)) == (False, True)
    assert "access_key  ak_" in relay("key", "rotate", "1").out
    assert relay("key", "revoke", "glasses").out == "access key 1 (glasses) is revoked\n"
    assert json.loads(relay("key", "revoke", "1", "--json").out)["revoked_at"]
    assert relay("key", "rotate", "1").err == "relay: access key 1 was revoked; add another\n"


def test_keys_are_listed_without_a_secret(relay: Relay) -> None:
    """Only the beginning of a key, by which an operator tells two apart."""
    key = json.loads(relay("key", "add", "glasses", "--json").out)["access_key"]
    line = relay("key", "list").out.splitlines()[1].split()
    assert line == ["1", f"{key[:8]}…", "valid", "never", "glasses", "everything"]
    (row,) = json.loads(relay("key", "list", "--json").out)
    assert (row["id"], row["revoked_at"], row["key_prefix"]) == (1, None, key[:8])
    assert row["scope"] == {"agents": None, "bots": None, "users": None}
    assert "key_hash" not in row


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_a_key_that_is_not_there_is_an_error(relay: Relay, verb: str) -> None:
    """On one line."""
    done = relay("key", verb, "nobody")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("relay: there is no ")
