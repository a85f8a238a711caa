from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sqlite3
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from relay import cli
from relay.cli import main
from relay.settings import Settings, settings_table
from relay.store.migrate import head_revision
from relay.store.store import Store
from tests.support.store import trace_row


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Relay:
    """The command line, run in this process and in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capture = capture
        self.served: list[tuple[Settings, str | None]] = []

    def __call__(self, *args: str) -> Done:
        """Run `relay ARGS`."""
        code = 0
        argv, sys.argv = sys.argv, ["relay", *args]
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        finally:
            sys.argv = argv
        return Done(code, *self.capture.readouterr())

    async def open(self) -> Store:
        """Open the database that the commands worked on."""
        return await Store.open(f"sqlite:///{self.folder}/relay.db")


@pytest.fixture
def relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Relay:
    """The command line with no settings in the environment and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("RELAY_"):
            monkeypatch.delenv(name)
    relay = Relay(tmp_path, capsys)
    app = ModuleType("relay.app")
    app.__dict__["serve"] = lambda settings, *, banner: relay.served.append(
        (settings, banner(settings.port or 4711) if banner else None)
    )
    monkeypatch.setitem(sys.modules, "relay.app", app)
    return relay


# --- adding -----------------------------------------------------------------------------


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


# --- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("bot", "add", ""), 1, "a name is 1 to 255 printable characters"),
        (("bot", "add", "b", "--token", "a b"), 1, "visible ASCII"),
        (("trace", "show", "nope"), 1, "there is no trace nope"),
        (("bot", "add", "b", "--database", "sqlite:///none/x.db"), 1, "unable to open"),
        (("serve", "--dev", "--database", "sqlite://"), 1, "name a file"),
        (("serve", "--broker", "redis://h"), 2, "RELAY_BROKER_URL"),
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


# --- settings, schema, version ----------------------------------------------------------


def test_the_settings_are_printed_with_what_is_set_here(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of the documentation, and no secret."""
    assert relay("settings").out == f"{settings_table()}\nNothing is set here.\n"
    monkeypatch.setenv("RELAY_IDLE_SECONDS", "30")
    monkeypatch.setenv("RELAY_SECRET", "canary" * 8)
    out = relay("settings").out
    assert out == f"{settings_table()}\nSet here:\nRELAY_IDLE_SECONDS=30\n"


def test_a_database_is_upgraded(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the environment, or the one that is named; it says at which schema it is."""
    monkeypatch.setenv("RELAY_DATABASE_URL", f"sqlite:///{relay.folder}/one.db")
    one = relay("db", "upgrade")
    two = relay("db", "upgrade", "--database", f"sqlite:///{relay.folder}/two.db")
    for name, done in (("one", one), ("two", two)):
        assert f"{name}.db is at schema {head_revision()}" in done.out
        other = sqlite3.connect(relay.folder / f"{name}.db")
        rows = other.execute("SELECT version_num FROM alembic_version").fetchall()
        other.close()
        assert rows == [(head_revision(),)]


def test_the_version_is_printed(relay: Relay) -> None:
    """That of the installed distribution."""
    assert re.fullmatch(r"relay \d+\.\d+\.\d+\S*\n", relay("--version").out)


def test_the_help_needs_no_database_library() -> None:
    """`relay --help` answers at once: a command imports what it needs itself."""
    program = (
        "import sys; from relay.cli import app; app(['--help'], standalone_mode=False);"
        "print([m for m in ('sqlalchemy', 'sqlmodel', 'alembic', 'starlette', 'uvicorn')"
        " if m in sys.modules])"
    )
    root = Path(cli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert "Usage" in done.stdout
    assert done.stdout.endswith("[]\n")


# --- traces -----------------------------------------------------------------------------


@pytest.fixture
def traced(relay: Relay) -> Relay:
    """The command line on a database with two traces."""

    async def write() -> None:
        store = await relay.open()
        await store.write_traces([trace_row(1), trace_row(2, bot_id=None, loss_position=None)])
        await store.close()

    asyncio.run(write())
    return relay


def test_traces_are_listed_newest_first(traced: Relay) -> None:
    """One line each: when, how it ended, what was shown of how much, what is missing."""
    head, newest, older = traced("trace", "list").out.splitlines()
    assert head.split()[:3] == ["asked", "trace", "bot"]
    assert newest.split()[:3] == ["2026-02-27T10:00:02+08:00", "trace-2", "-"]
    assert older.split()[1:] == ["trace-1", "1", "anomaly", "repaired", "2/3", "1", "tail"]
    assert len(traced("trace", "list", "--limit", "1").out.splitlines()) == 2


def test_traces_are_listed_as_json(traced: Relay) -> None:
    """With every column."""
    rows = json.loads(traced("trace", "list", "--json").out)
    assert [row["trace_id"] for row in rows] == ["trace-2", "trace-1"]
    assert rows[1]["missing_sequences"] == [2]


def test_one_trace_is_shown(traced: Relay) -> None:
    """For people a line for each column, for programs the whole of it."""
    out = traced("trace", "show", "trace-1").out
    assert re.search(r"^loss_position +tail$", out, re.MULTILINE)
    assert re.search(r"^timeline +2 \(see --json\)$", out, re.MULTILINE)
    row = json.loads(traced("trace", "show", "trace-1", "--json").out)
    assert row["timeline"][0] == [0, 12.5, 12.625, 13.0, 2]
    assert row["sse_content"] == "你好🦞\n\n"


# --- serving ----------------------------------------------------------------------------


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
