"""Which schema a database has, and whether this relay can work with it.

Every start asks, and nearly always nothing is to be done. So Alembic, which takes a tenth of a
start to import, is left alone (`relay.store.migrate`) until a database is to be migrated.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, text

from relay.errors import StoreError
from relay.store.engine import Database, database_errors

NEWEST: Final = "0004"
"""The name of the newest schema that this relay knows: that of the last migration."""

_TABLE: Final = "alembic_version"


async def prepare(database: Database) -> None:
    """Make sure that the schema is the newest: SQLite is migrated, others only looked at.

    Raises `StoreError` where another database than SQLite is behind: migrating a server that
    other processes use is an operator's decision.
    """
    revision = await current_revision(database)
    if revision == NEWEST:
        return
    if not database.is_sqlite:
        raise StoreError(
            f"the database is at schema {revision or 'none'} and this relay needs "
            f"{NEWEST}; run `relay db upgrade`"
        )
    from relay.store.migrate import upgrade_database  # noqa: PLC0415 - see above

    await upgrade_database(database)


async def current_revision(database: Database) -> str | None:
    """Return the schema's name, for example `"0001"`; None where there is none yet."""
    await database.check()
    with database_errors():
        async with database.engine.connect() as connection:
            return await connection.run_sync(_revision_on)


def _revision_on(connection: Connection) -> str | None:
    """Alembic's table has one row, or none is there yet."""
    if not inspect(connection).has_table(_TABLE):
        return None
    found: str | None = connection.execute(
        text(f"SELECT version_num FROM {_TABLE}")  # noqa: S608 - a name of ours
    ).scalar_one_or_none()
    return found
