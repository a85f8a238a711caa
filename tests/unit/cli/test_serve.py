from __future__ import annotations

import json
import shlex
import stat
import sys
from pathlib import Path

import pytest

from relay.settings_printed import settings_table
from tests.support.command_line import Relay


def test_serving_takes_its_options_before_the_environment(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And prints nothing of its own."""
    monkeypatch.setenv("RELAY_PORT", "9000")
    monkeypatch.setenv("RELAY_IDLE_SECONDS", "30")
    done = relay("serve", "--port", "9001", "--host", "::1", "--database", "sqlite:///x.db")
    (settings, banner) = relay.served[0]
    assert (done.code, banner) == (0, None)
    assert (settings.host, settings.port, settings.idle_seconds) == ("::1", 9001, 30)
    assert settings.database_url == "sqlite:///x.db"


def test_a_development_start_prints_lines_that_work_when_pasted(relay: Relay) -> None:
    """Bot token, access key and administrator's token; the question is valid JSON in a shell."""
    relay("serve", "--dev", "--port", "8123")
    banner = relay.served[0][1]
    assert banner is not None
    tokens = json.loads((relay.folder / ".relay-dev.json").read_text())
    assert all(token in banner for token in tokens.values())
    token, *command = shlex.split(banner[banner.index("RELAY_TOKEN=") :].splitlines()[0])
    assert token == f"RELAY_TOKEN={tokens['sdk_token']}"
    assert Path(command[0]) == Path(sys.executable).with_name("relay-bot")
    assert command[1:] == ["--relay", "http://127.0.0.1:8123", "--echo"]
    pasted = banner[banner.index("curl -N") :].replace("\\\n", " ")
    words = shlex.split(pasted)
    assert words[2] == "http://127.0.0.1:8123/sse/rokid"
    assert f"Authorization: Bearer {tokens['access_key']}" in words
    assert json.loads(words[-1])["user_id"] == "dev-user"


def test_the_port_in_the_lines_is_the_one_that_was_taken(relay: Relay) -> None:
    """Port 0 takes a free one, which is known only once the socket is bound."""
    relay("serve", "--dev", "--port", "0")
    banner = relay.served[0][1]
    assert banner is not None
    assert "http://127.0.0.1:4711/sse/rokid" in banner


def test_programs_on_the_path_are_called_by_their_name(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment that is activated nobody needs to paste its path."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    relay("serve", "--dev")
    banner = relay.served[0][1]
    assert banner is not None
    assert " relay-bot --relay" in banner


def test_a_second_development_start_uses_the_same_tokens(relay: Relay) -> None:
    """They are kept beside the database, for their owner only."""
    relay("serve", "--dev")
    relay("serve", "--dev")
    assert relay.served[0][1] == relay.served[1][1]
    mode = (relay.folder / ".relay-dev.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("relay", "relay")],  # noqa: S104
)
def test_the_banner_names_an_address_that_can_be_reached(
    relay: Relay, host: str, address: str
) -> None:
    """Nobody can connect to 0.0.0.0 everywhere."""
    relay("serve", "--dev", "--host", host)
    banner = relay.served[0][1]
    assert banner is not None
    assert f"http://{address}:8080/sse/rokid" in banner


def test_the_settings_are_printed_with_what_is_set_here(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of the documentation, and no secret."""
    assert relay("settings").out == f"{settings_table()}\nNothing is set here.\n"
    monkeypatch.setenv("RELAY_IDLE_SECONDS", "30")
    monkeypatch.setenv("RELAY_SECRET", "canary" * 8)
    out = relay("settings").out
    assert out == f"{settings_table()}\nSet here:\nRELAY_IDLE_SECONDS=30\n"
    told = {setting["variable"]: setting for setting in json.loads(relay("settings", "--json").out)}
    assert told["RELAY_IDLE_SECONDS"]["value"] == 30
