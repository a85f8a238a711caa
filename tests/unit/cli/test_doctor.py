from __future__ import annotations

import json

import pytest
from rich.console import Console

from relay.cli.doctor import drawn, summary
from relay.doctor.finding import failure, fine, unseen, warning
from tests.support.command_line import Relay

FOUND = [
    fine("clock", "agrees"),
    warning("limits", "few [files]", "raise it"),
    failure("database", "is gone", "find it"),
    unseen("disk", "cannot be seen"),
]


def test_a_fresh_folder_is_fine(relay: Relay) -> None:
    """Nothing is there yet, nothing has to be mended, and nothing was made."""
    done = relay("doctor")
    assert done.code == 0
    assert "database" in done.out
    assert " ok" in done.out.splitlines()[-1]
    assert list(relay.folder.iterdir()) == []


def test_what_has_to_be_mended_is_told_to_programs_and_by_the_exit_code(relay: Relay) -> None:
    """A database in a folder that is not there."""
    done = relay("doctor", "--json", "--database", "sqlite:///none/relay.db")
    told = json.loads(done.out)
    (finding,) = [finding for finding in told["findings"] if finding["level"] == "fail"]
    assert (done.code, told["ok"]) == (1, False)
    assert finding["area"] == "database"
    assert finding["mend"].startswith("`mkdir -p ")


def test_settings_that_are_wrong_are_a_finding(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor does not stop at what it is there to find; the machine is looked at."""
    monkeypatch.setenv("RELAY_PORTT", "1")
    done = relay("doctor", "--json")
    found = {f["area"]: f for f in json.loads(done.out)["findings"]}
    assert done.code == 1
    assert "RELAY_PORT" in found["settings"]["what"]
    assert found["clock"]["level"] == "ok"
    assert "database" not in found


def test_a_relay_that_is_not_there_is_told(relay: Relay) -> None:
    """Among what else was found, and so is an address that is none."""
    done = relay("doctor", "--json", "--url", "http://127.0.0.1:1")
    assert done.code == 1
    assert json.loads(done.out)["findings"][-1]["area"] == "url"
    wrong = relay("doctor", "--json", "--url", "relay.example")
    assert (wrong.code, wrong.err) == (1, "")
    assert json.loads(wrong.out)["findings"][-1]["what"] == "relay.example is no address"


def test_findings_are_drawn_with_what_to_do_below() -> None:
    """Brackets are no markup; a line counts them."""
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(drawn(FOUND))
        console.print(summary(FOUND))
    text = capture.get()
    assert "few [files]" in text
    assert "-> raise it" in text
    assert text.splitlines()[-1] == "1 ok, 1 warn, 1 fail, 1 skip"
