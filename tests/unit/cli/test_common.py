from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from relay import cli
from tests.support.command_line import Relay


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("bot", "add", ""), 1, "a name is 1 to 255 printable characters"),
        (("bot", "add", "b", "--token", "a b"), 1, "visible ASCII"),
        (("trace", "show", "nope"), 1, "there is no trace nope"),
        (("bot", "add", "b", "--database", "sqlite:///none/x.db"), 1, "unable to open"),
        (("serve", "--dev", "--database", "sqlite://"), 1, "name a file"),
        (("serve", "--broker", "nats://h"), 2, "RELAY_BROKER_URL"),
        (("serve", "--port", "70000"), 2, "RELAY_PORT='70000'"),
        (("db", "upgrade", "--database", "mysql://u:canary@h"), 2, "RELAY_DATABASE_URL"),
    ],
)
def test_an_error_is_one_line(relay: Relay, args: tuple[str, ...], code: int, message: str) -> None:
    """It says what is wrong, on stderr, without a traceback and without a password."""
    done = relay(*args)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("relay: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert "canary" not in done.err
    assert relay.served == []


def test_a_user_that_has_a_bot_already_is_an_error(relay: Relay) -> None:
    """And nothing was added."""
    assert relay("bot", "add", "Nova", "--user-id", "u1").code == 0
    done = relay("bot", "add", "Other", "--user-id", "u1")
    assert (done.code, done.err) == (1, "relay: user u1 belongs to bot 1 (Nova) already\n")


def test_a_mistyped_option_is_a_usage_error(relay: Relay) -> None:
    """With exit code 2, as of every program."""
    done = relay("bot", "add", "b", "--tokne", "x")
    assert done.code == 2
    assert "--tokne" in done.err


def test_an_unknown_setting_stops_every_command(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is opened."""
    monkeypatch.setenv("RELAY_DATABASE", "sqlite:///other.db")
    done = relay("bot", "add", "b")
    assert done.code == 2
    assert "did you mean RELAY_DATABASE_URL?" in done.err
    assert list(relay.folder.iterdir()) == []


def test_the_version_is_printed(relay: Relay) -> None:
    """That of the installed distribution."""
    assert re.fullmatch(r"relay \d+\.\d+\.\d+\S*( \(compiled\))?\n", relay("--version").out)


def test_the_help_needs_no_database_library() -> None:
    """`relay --help` answers at once: a command imports what it needs itself."""
    program = (
        "import sys; from relay.cli import app; app(['--help'], standalone_mode=False);"
        "print([m for m in ('sqlalchemy', 'sqlmodel', 'alembic', 'starlette', 'uvicorn')"
        " if m in sys.modules])"
    )
    root = Path(cli.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert "Usage" in done.stdout
    assert done.stdout.endswith("[]\n")
