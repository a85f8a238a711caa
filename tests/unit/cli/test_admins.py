from __future__ import annotations

import json
import re

from tests.support.command_line import Relay


def test_an_administrators_token_is_made_and_shown(relay: Relay) -> None:
    """As documented."""
    answer = json.loads(relay("admin", "token", "--json").out)
    assert list(answer) == ["admin_token"]
    assert re.fullmatch("adm_[0-9a-f]{64}", answer["admin_token"])


def test_for_people_the_token_is_printed_with_its_name(relay: Relay) -> None:
    """In plain lines."""
    done = relay("admin", "token")
    assert (done.code, done.out.split()[0]) == (0, "admin_token")


def test_a_token_is_found_by_its_beginning_and_revoked(relay: Relay) -> None:
    """The list has no secret; a revoked token stays in it."""
    secret = json.loads(relay("admin", "token", "--json").out)["admin_token"]
    relay("admin", "token")
    done = relay("admin", "list")
    assert secret not in done.out
    assert [row.split()[2] for row in done.out.splitlines()] == ["state", "valid", "valid"]
    assert relay("admin", "revoke", "1").out.startswith(f"admin token 1 ({secret[:5]}")
    assert json.loads(relay("admin", "revoke", "1", "--json").out) == {"id": 1, "revoked": True}
    listed = json.loads(relay("admin", "list", "--json").out)
    assert [bool(row["revoked_at"]) for row in listed] == [True, False]
    assert all("token_hash" not in row for row in listed)


def test_what_is_no_token_is_not_revoked(relay: Relay) -> None:
    """The message says where the numbers are."""
    done = relay("admin", "revoke", "7")
    assert done.code == 1
    assert "there is no admin token 7; see relay admin list" in done.err
