from __future__ import annotations

import json
import sqlite3

import pytest

from relay.store.migrate import head_revision
from tests.support.command_line import Relay


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


def test_an_upgrade_is_told_to_programs(relay: Relay) -> None:
    """Which database, and at which schema it is now."""
    told = json.loads(relay("db", "upgrade", "--json").out)
    assert told == {"database": "sqlite+aiosqlite:///relay.db", "schema": head_revision()}
