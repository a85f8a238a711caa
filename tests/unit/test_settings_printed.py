from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from relay import settings as module
from relay.settings import Settings
from relay.settings_printed import changed_settings, settings_list, settings_table

DOCS = Path(module.__file__).parents[1] / "docs" / "settings.md"


def test_only_what_differs_from_the_defaults_is_listed() -> None:
    """Nothing is, where nothing was set."""
    assert changed_settings(Settings()) == ""
    assert changed_settings(Settings(idle_seconds=30.0)) == "RELAY_IDLE_SECONDS=30\n"


def test_every_setting_is_in_the_table_with_its_meaning() -> None:
    """One row each, in the order of the fields."""
    rows = settings_table().splitlines()[2:]
    names = [f"RELAY_{item.name.upper()}" for item in fields(Settings)]
    assert [row.split("`")[1] for row in rows] == names
    assert all(row.split(" | ")[3].strip(" |") for row in rows)


def test_the_documentation_holds_the_table_that_is_printed() -> None:
    """`relay settings` and docs/settings.md never disagree."""
    assert settings_table() in DOCS.read_text(encoding="utf-8")


def test_programs_are_told_every_setting_and_no_secret() -> None:
    """The value, what it would be otherwise, and what it means; a password is hidden."""
    secret = "canary" * 8
    settings = Settings(
        secret=secret, database_url="postgresql://relay:canary@db/relay", idle_seconds=30.0
    )
    told = {setting["variable"]: setting for setting in settings_list(settings)}
    assert told.keys() == {f"RELAY_{item.name.upper()}" for item in fields(Settings)}
    assert told["RELAY_IDLE_SECONDS"]["value"] == 30.0
    assert told["RELAY_IDLE_SECONDS"]["default"] == 60.0
    assert told["RELAY_DATABASE_URL"]["value"] == "postgresql://relay:***@db/relay"
    assert "canary" not in str(told)
