"""A real SQLite file for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.clock import ManualClock
from relay.store.engine import Database
from relay.store.schema import prepare
from relay.store.store import Store
from tests.support.store import NOW


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite+aiosqlite:///{tmp_path}/relay.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """An open database with the newest schema."""
    database = Database(url)
    await prepare(database)
    yield database
    await database.close()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock(NOW)


@pytest.fixture
async def store(url: str, clock: ManualClock) -> AsyncIterator[Store]:
    """An open store."""
    store = await Store.open(url, clock)
    yield store
    await store.close()
