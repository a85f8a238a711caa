from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

from relay.store.engine import Database
from relay.store.migrate import head_revision, known_revisions, upgrade
from relay.store.schema import NEWEST, current_revision, prepare


def test_the_newest_schema_is_that_of_the_last_migration() -> None:
    """Whoever adds a migration writes its name there, or each start would load Alembic."""
    assert head_revision() == NEWEST == known_revisions()[-1]


async def test_a_sqlite_file_is_migrated_where_it_needs_to_be(url: str) -> None:
    """A fresh file gets the whole schema."""
    database = Database(url)
    assert await current_revision(database) is None
    await prepare(database)
    assert await current_revision(database) == NEWEST
    await prepare(database)
    await database.close()


async def test_a_file_of_an_older_relay_is_brought_to_the_newest(url: str, tmp_path: Path) -> None:
    """Not only a fresh one: here the last migration was not made yet."""
    database = Database(url)
    await prepare(database)
    with sqlite3.connect(tmp_path / "relay.db") as other:
        other.execute("ALTER TABLE access_keys DROP COLUMN scope")
        other.execute("UPDATE alembic_version SET version_num = ?", (known_revisions()[-2],))
    other.close()
    assert await current_revision(database) == known_revisions()[-2]
    await prepare(database)
    assert await current_revision(database) == NEWEST
    await database.close()


async def test_a_version_table_without_a_row_is_a_database_without_a_schema(
    url: str, tmp_path: Path
) -> None:
    """That is what Alembic leaves where everything was taken back."""
    with sqlite3.connect(tmp_path / "relay.db") as other:
        other.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    other.close()
    database = Database(url)
    assert await current_revision(database) is None
    await database.close()


def test_a_database_that_is_up_to_date_is_opened_without_alembic(url: str) -> None:
    """It takes a tenth of a start to import."""
    asyncio.run(upgrade(url))
    done = subprocess.run([sys.executable, "-c", OPENS, url], check=False, timeout=30)
    assert done.returncode == 0


OPENS = """
import asyncio, sys
from relay.store.store import Store

async def opened():
    store = await Store.open(sys.argv[1])
    await store.close()

asyncio.run(opened())
sys.exit("alembic" in sys.modules)
"""
