"""Bring a database's schema up to date, from a checkout or from an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import relay
from relay.errors import StoreError
from relay.store.engine import Database, database_errors, writing

ADVISORY_LOCK: Final = 0x72656C6179  # "relay"
"""PostgreSQL's lock that lets one migration run at a time."""

UPGRADE_TIMEOUT_S: Final = 3600.0
"""How long a step of an upgrade may take: rewriting a large table, waiting for another upgrade."""


def migrations_folder() -> Path:
    """Return where the migrations are: `relay/_migrations` in a wheel, else the checkout's own.

    Raises `StoreError` where there are none.
    """
    package = Path(relay.__file__).parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise StoreError("this installation of the relay holds no migrations")


async def upgrade(url: str) -> str:
    """Bring the database at `url` to the newest schema, in one transaction; returns its name.

    Any number of processes may do so at once: one migrates, the others wait and find it done.
    Raises `StoreError` where the database is newer than this relay, or fails.
    """
    database = Database(url, command_timeout_s=UPGRADE_TIMEOUT_S)
    try:
        await upgrade_database(database)
    finally:
        await database.close()
    return head_revision()


async def upgrade_database(database: Database) -> None:
    """As `upgrade`, for a database that is open."""
    await database.check()
    with database_errors():
        async with writing(database.engine).begin() as connection:
            await connection.run_sync(_upgrade)


def head_revision() -> str:
    """Return the name of the newest schema that there is a migration to."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise StoreError("this installation of the relay holds no migrations")
    return head


def known_revisions() -> list[str]:
    """Return the names of all schemas that this relay knows, oldest first."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


def _config() -> Config:
    config = Config()
    # ConfigParser would read a percent sign in the path as the start of a placeholder.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known_revisions():
        raise StoreError(
            f"the database is at schema {current}, newer than this relay knows; update the relay"
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
