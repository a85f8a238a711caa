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
