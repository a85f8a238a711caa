"""`url` is a PostgreSQL database with the newest schema, empty for each test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from relay.store.engine import Database
from relay.store.models import Record
from tests.support.postgres import Postgres, postgres_server
from tests.support.server import RELAY, environment
from tests.unit.store.conftest import clock, database, store

__all__ = ["clock", "database", "postgres_server", "store"]


@pytest.fixture(scope="session")
def migrated(postgres_server: Postgres) -> Iterator[str]:
    """One database for all tests: making one for each takes longer than the tests."""
    postgres_server.run("createdb", "store")
    url = postgres_server.url("store")
    given = environment({"RELAY_DATABASE_URL": url})
    subprocess.run([RELAY, "db", "upgrade"], env=given, check=True, capture_output=True)
    yield url
    postgres_server.run("dropdb", "--force", "store")


@pytest.fixture
async def url(migrated: str) -> str:
    """Empty all tables, and let ids begin at 1 as in a new file."""
    database = Database(migrated)
    tables = ", ".join(Record.metadata.tables)
    try:
        async with database.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    finally:
        await database.close()
    return migrated
