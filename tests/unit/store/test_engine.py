from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from relay.errors import StoreError
from relay.store import engine, sqlite_file
from relay.store.engine import (
    PAGES_KIB,
    STATEMENTS_KEPT,
    Database,
    database_errors,
    database_url,
    is_outage,
)
from relay.store.models import AdminToken, moment


def token(token_hash: str) -> AdminToken:
    """A row to write."""
    return AdminToken(token_prefix="p", token_hash=token_hash, created_at=moment(0))


async def test_a_sqlite_file_is_opened_in_wal_mode(database: Database) -> None:
    """Readers do not wait for the writer, and a commit does not wait for the disk."""
    async with database.read() as session:
        connection = await session.connection()
        pragmas = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "cache_size", "auto_vacuum")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 1,
        "busy_timeout": 5000,
        "cache_size": -PAGES_KIB,
        "auto_vacuum": 2,
    }


async def test_a_connection_keeps_the_newest_statements_and_forgets_the_others(
    database: Database,
) -> None:
    """SQLite asks its authorizer when it prepares a statement, and not when it has it still."""
    prepared: list[str] = []

    def told(_action: int, function: str | None, name: str | None, *_: object) -> int:
        if function is None and name is not None:
            prepared.append(name)
        return sqlite3.SQLITE_OK

    async with database.read() as session:
        connection = await session.connection()
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        await driver.set_authorizer(told)

        async def ask(number: int) -> bool:
            prepared.clear()
            await connection.execute(text(f"SELECT abs({number})"))
            return "abs" in prepared

        assert await ask(0)
        assert not await ask(0)
        assert all([await ask(number) for number in range(1, STATEMENTS_KEPT)])
        assert not await ask(0)
        assert all([await ask(number) for number in range(100, 100 + STATEMENTS_KEPT)])
        assert await ask(0)


async def test_a_writer_holds_the_lock_from_its_first_moment(
    database: Database, tmp_path: Path
) -> None:
    """A deferred transaction would let another writer in and then fail at its own first write."""
    with sqlite3.connect(tmp_path / "relay.db", timeout=0, isolation_level=None) as other:
        async with database.read():
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        async with database.write() as session:
            _ = await session.connection()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    """It sees what was committed before."""
    async with database.write() as writer:
        writer.add(token("new"))
        await writer.flush()
        async with database.read() as reader:
            rows = await (await reader.connection()).execute(text("SELECT id FROM admin_tokens"))
            assert rows.all() == []


async def test_a_write_is_committed_at_the_end_of_its_block(database: Database) -> None:
    """And what was read in it can still be used there."""
    row = token("h")
    async with database.write() as session:
        session.add(row)
    async with database.read() as session:
        assert await session.get(AdminToken, row.id) is not None
    assert row.token_hash == "h"


async def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    """All or none, and the caller's error comes through as it is."""

    async def fail() -> None:
        async with database.write() as session:
            session.add(token("h"))
            await session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with database.read() as session:
        assert await session.get(AdminToken, 1) is None


async def test_a_database_error_is_told_in_one_line_without_the_row(database: Database) -> None:
    """SQLAlchemy's own text holds the statement and its parameters."""
    with pytest.raises(StoreError) as caught:
        async with database.write() as session:
            session.add_all([token("canary"), token("canary")])
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "UNIQUE" in str(caught.value)


async def test_a_folder_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    """Not a traceback of the driver's; the message names the file."""
    database = Database(f"sqlite:///{tmp_path}/none/relay.db")
    with pytest.raises(StoreError, match="unable to open"):
        async with database.read() as session:
            _ = await session.connection()
    with pytest.raises(StoreError, match=r"unable to open .*none/relay\.db"):
        await database.check()
    await database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://127.0.0.1:1/n"])
async def test_only_a_file_is_checked(url: str) -> None:
    """A server is asked when it is needed."""
    database = Database(url)
    await database.check()
    await database.close()


def test_an_error_without_a_text_is_told_by_its_name() -> None:
    """Time-outs of asyncio have none."""
    with pytest.raises(StoreError, match="TimeoutError"), database_errors():
        raise TimeoutError


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///relay.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:////var/relay.db", "sqlite+aiosqlite"),
        ("postgresql://h/n", "postgresql+asyncpg"),
        ("postgresql+asyncpg://h/n", "postgresql+asyncpg"),
    ],
)
def test_a_url_gets_its_async_driver(url: str, driver: str) -> None:
    """Operators write what other programs take."""
    assert database_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://h/n", "postgresql+psycopg://h/n", "relay.db", ""])
def test_a_url_of_no_use_is_refused(url: str) -> None:
    """Other databases and synchronous drivers."""
    with pytest.raises(StoreError):
        Database(url)


async def test_libpqs_sslmode_is_understood() -> None:
    """Hosted databases hand out URLs with it, and asyncpg knows it by another name."""
    database = Database("postgresql://h/n?sslmode=require")
    assert database.engine.url.query == {"ssl": "require"}
    await database.close()


class Cause(Exception):
    def __init__(self, *, sqlstate: str | None = None, sqlite_errorcode: int | None = None) -> None:
        super().__init__("no")
        self.sqlstate = sqlstate
        self.sqlite_errorcode = sqlite_errorcode


def wrapped(cause: Cause) -> DBAPIError:
    """What SQLAlchemy makes of a driver's error."""
    return OperationalError("SELECT", {}, cause)


@pytest.mark.parametrize(
    "error",
    [
        wrapped(Cause(sqlstate="08006")),
        wrapped(Cause(sqlstate="53100")),
        wrapped(Cause(sqlstate="57P01")),
        wrapped(Cause(sqlstate="40001")),
        wrapped(Cause(sqlstate="25006")),
        wrapped(Cause(sqlite_errorcode=sqlite3.SQLITE_BUSY)),
        wrapped(Cause(sqlite_errorcode=sqlite3.SQLITE_FULL)),
        wrapped(Cause(sqlite_errorcode=sqlite3.SQLITE_IOERR_WRITE)),
        DBAPIError("SELECT", {}, Cause(), connection_invalidated=True),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
)
def test_a_database_that_is_away_busy_or_full_is_an_outage(error: BaseException) -> None:
    """Trying the rows one by one would not help."""
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("INSERT", {}, Cause(sqlite_errorcode=sqlite3.SQLITE_CONSTRAINT_UNIQUE)),
        wrapped(Cause(sqlstate="22021")),
        wrapped(Cause(sqlstate="54000")),
        wrapped(Cause()),
        OverflowError(),
    ],
)
def test_a_row_that_is_refused_is_no_outage(error: BaseException) -> None:
    """The other rows of its batch can be stored."""
    assert not is_outage(error)


def test_the_timeouts_are_those_of_the_documentation() -> None:
    """5 s for SQLite's lock, and never for ever for PostgreSQL."""
    assert engine.BUSY_TIMEOUT_S == 5
    assert 0 < engine.COMMAND_TIMEOUT_S <= 30


async def test_the_log_is_cut_where_nobody_is_in_the_way(
    database: Database, tmp_path: Path
) -> None:
    """And nobody waits for it: another reader, and it is left for another time."""
    log = tmp_path / "relay.db-wal"
    async with database.write() as session:
        await (await session.connection()).execute(text("UPDATE bots SET name = name"))
        query = text("INSERT INTO admin_tokens VALUES (1, 'p', 'h', '2026-01-01', NULL)")
        await (await session.connection()).execute(query)
    async with database.read() as session:
        await (await session.connection()).execute(text("SELECT count(*) FROM admin_tokens"))
        assert not await database.empty_wal()
        assert log.stat().st_size > 0
    assert await database.empty_wal()
    assert log.stat().st_size == 0


async def test_pages_are_given_back_in_steps(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants to write may between two of them; one that writes just then ends it."""
    insert = text("INSERT INTO admin_tokens VALUES (1, 'p', hex(zeroblob(1000000)), 0, NULL)")
    for query in (insert, text("DELETE FROM admin_tokens")):
        async with database.write() as session:
            await (await session.connection()).execute(query)
    free = await database.free_pages()
    steps: list[int] = []
    real = sqlite_file.give_back

    def told(path: str, pages: int) -> bool:
        steps.append(pages)
        with closing(sqlite3.connect(tmp_path / "relay.db", timeout=0)) as other:
            other.execute("UPDATE access_keys SET name = name")
        return real(path, pages) if len(steps) < 3 else False

    monkeypatch.setattr(sqlite_file, "give_back", told)
    await database.give_back(300)
    assert steps == [256, 44]
    assert free > 400
    assert await database.free_pages() == pytest.approx(free - 300, abs=3)
    await database.give_back(300)
    assert steps == [256, 44, 256]


async def test_without_a_file_there_is_nothing_to_cut_or_to_give_back() -> None:
    """A database in memory, or a server."""
    for url in ("sqlite+aiosqlite://", "postgresql+asyncpg://nobody@127.0.0.1:1/none"):
        database = Database(url)
        assert await database.empty_wal()
        assert await database.free_pages() == 0
        await database.give_back(1)
        await database.close()


async def test_a_log_that_cannot_be_cut_is_no_failure(tmp_path: Path) -> None:
    """The next sweep tries again."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/none/relay.db")
    assert not await database.empty_wal()
    await database.close()


async def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Answers stand in it; one that was there keeps the rights that somebody gave it."""
    mine, given = tmp_path / "mine.db", tmp_path / "given.db"
    given.touch(mode=0o640)
    for path in (mine, given):
        database = Database(f"sqlite+aiosqlite:///{path}")
        await database.check()
        async with database.write() as session:
            await (await session.connection()).execute(text("CREATE TABLE t (x)"))
        rights = rights_of(tmp_path, path.stem)
        await database.close()
        assert rights == {0o600 if path == mine else 0o640}


def rights_of(folder: Path, stem: str) -> set[int]:
    """Who may do what with a database's file and with those beside it."""
    return {file.stat().st_mode & 0o777 for file in folder.glob(f"{stem}*")}


async def test_whoever_writes_makes_another_version_and_who_reads_does_not(
    database: Database, url: str
) -> None:
    """This object, also where it fails, and another one as another process has it."""
    seen = [database.version]
    async with database.read() as session:
        await (await session.connection()).execute(text("SELECT count(*) FROM bots"))
    assert database.version == seen[-1]
    async with database.write():
        pass
    seen.append(database.version)
    with pytest.raises(KeyError):
        async with database.write():
            raise KeyError
    seen.append(database.version)
    elsewhere = Database(url)
    async with elsewhere.write() as session:
        session.add(token("a"))
    await elsewhere.close()
    seen.append(database.version)
    assert len(set(seen)) == 4


def test_a_database_that_is_no_file_has_versions_of_its_own_writes() -> None:
    """What others write into a server is not seen."""
    assert Database("postgresql://a@127.0.0.1/b").version == (0,)
    assert Database("sqlite://").version == (0,)
