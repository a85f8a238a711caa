"""Alembic's entry point: `relay db upgrade` hands in a connection, the `alembic` command none.

The latter is for writing migrations in a checkout: it works on `RELAY_DATABASE_URL`.
"""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from relay.settings import Settings
from relay.store.engine import Database, writing
from relay.store.models import Record


def migrate(connection: Connection) -> None:
    """Run the migrations that were asked for, within the transaction of `connection`."""
    context.configure(
        connection=connection,
        target_metadata=Record.metadata,
        # SQLite cannot alter a column: the table is copied.
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate() -> None:
    """Do the same on a connection of our own."""
    database = Database(Settings.from_environment(os.environ).database_url)
    try:
        async with writing(database.engine).begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await database.close()


if context.is_offline_mode():
    raise SystemExit("migrations need a database: set RELAY_DATABASE_URL")

given: Connection | None = context.config.attributes.get("connection")
if given is None:
    asyncio.run(connect_and_migrate())
else:
    migrate(given)
