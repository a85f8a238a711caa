from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Row, text

import relay
from relay.errors import StoreError
from relay.store import migrate
from relay.store.engine import Database, writing
from relay.store.migrate import head_revision, migrations_folder, upgrade
from relay.store.schema import prepare
from relay.store.traces import upsert_batch
from tests.support.store import NOW, schema_differences, trace_row


async def test_the_migrated_schema_equals_the_models(database: Database) -> None:
    """Whoever changes a model writes a migration."""
    assert await schema_differences(database) == []


async def test_a_missing_column_would_be_found(database: Database, tmp_path: Path) -> None:
    """The comparison above is able to fail."""
    with sqlite3.connect(tmp_path / "relay.db") as other:
        other.execute("ALTER TABLE stream_traces DROP COLUMN loss_hop")
        other.execute("DROP INDEX ix_stream_traces_status")
    other.close()
    assert len(await schema_differences(database)) == 2


async def test_an_upgrade_says_where_it_arrived_and_repeats_harmlessly(url: str) -> None:
    """The name of the newest schema, both times."""
    assert await upgrade(url) == await upgrade(url) == head_revision()


async def test_upgrades_at_the_same_time_wait_for_each_other(url: str) -> None:
    """Two relays that start on one fresh file both find a whole schema."""
    assert await asyncio.gather(*(upgrade(url) for _ in range(4))) == [head_revision()] * 4


async def test_a_migration_that_fails_leaves_nothing(url: str, tmp_path: Path) -> None:
    """One transaction: no half of a schema, which no second attempt could mend."""
    with sqlite3.connect(tmp_path / "relay.db") as other:
        other.execute("CREATE TABLE stream_traces (id INTEGER)")
    with pytest.raises(StoreError, match="already exists"):
        await upgrade(url)
    names = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    other.close()
    assert names == [("stream_traces",)]


async def test_a_database_of_a_newer_relay_is_refused(url: str, tmp_path: Path) -> None:
    """It is left as it is, and the message says what to do."""
    await upgrade(url)
    with sqlite3.connect(tmp_path / "relay.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    with pytest.raises(StoreError, match="schema 9999, newer than this relay"):
        await upgrade(url)


def test_an_installed_package_brings_its_migrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a wheel they lie in the package, and go before those of a checkout."""
    package = tmp_path / "site" / "relay"
    monkeypatch.setattr(relay, "__file__", str(package / "__init__.py"))
    with pytest.raises(StoreError, match="holds no migrations"):
        migrations_folder()
    checkout = Path(migrate.__file__).parents[2] / "migrations"
    shutil.copytree(checkout, tmp_path / "site" / "migrations")
    assert migrations_folder() == tmp_path / "site" / "migrations"
    shutil.copytree(checkout, package / "_migrations")
    assert migrations_folder() == package / "_migrations"


async def test_a_folder_with_a_percent_sign_is_no_obstacle(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alembic's configuration would take it for a placeholder."""
    package = tmp_path / "100%s" / "relay"
    shutil.copytree(Path(migrate.__file__).parents[2] / "migrations", package / "_migrations")
    monkeypatch.setattr(relay, "__file__", str(package / "__init__.py"))
    assert await upgrade(url) == head_revision()


def test_the_alembic_command_works_in_a_checkout(url: str) -> None:
    """Whoever writes a migration uses it, on the database that the relay itself would use."""
    root = Path(migrate.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=root,
        env={"RELAY_DATABASE_URL": url, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = url.removeprefix("sqlite+aiosqlite:///")
    other = sqlite3.connect(path)
    found = other.execute("SELECT version_num FROM alembic_version").fetchall()
    assert found == [(head_revision(),)]
    other.close()


async def test_a_fresh_file_is_waited_for_as_any_other(tmp_path: Path) -> None:
    """Switching to write-ahead logging takes a lock that no busy timeout waits for."""
    for number in range(12):
        url = f"sqlite+aiosqlite:///{tmp_path}/{number}.db"
        await asyncio.gather(*(upgrade(url) for _ in range(4)))


async def test_traces_of_an_older_relay_are_measured(url: str) -> None:
    """What an upgrade fills in is what a row gets that is written today."""
    database = Database(url)
    rows = [
        trace_row(1, missing_sequences=[], sdk_content="🦞" * 7),
        trace_row(2, missing_sequences=[0, 8, 9], anomaly=None),
    ]
    await prepare(database)
    await upsert_batch(database, rows, now=NOW)
    query = text(
        "SELECT missing_count, content_bytes, size_bytes FROM stream_traces ORDER BY trace_id"
    )

    async def measured() -> Sequence[Row[Any]]:
        async with database.read() as session:
            return (await (await session.connection()).execute(query)).all()

    written = await measured()
    for step in ("downgrade", "0001"), ("upgrade", "head"):
        async with writing(database.engine).begin() as connection:
            await connection.run_sync(alembic, *step)
    assert await measured() == written
    assert await schema_differences(database) == []
    await database.close()


def alembic(connection: Connection, direction: str, revision: str) -> None:
    """Run a migration on this connection."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    (command.upgrade if direction == "upgrade" else command.downgrade)(config, revision)
