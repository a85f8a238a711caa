"""How a database is opened, read and written: SQLite by aiosqlite, PostgreSQL by asyncpg."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel.ext.asyncio.session import AsyncSession

from relay.errors import StoreError
from relay.store import sqlite_file

BUSY_TIMEOUT_S: Final = 5.0
"""How long a SQLite writer waits for another one."""

COMMAND_TIMEOUT_S: Final = 10.0
"""How long PostgreSQL may take for a statement; asyncpg by itself waits for ever."""

PAGES_KIB: Final = 128
"""What a connection keeps of SQLite's file; by default sixteen times as much.

They come and go with every transaction, and there are five connections. To write 20,000 traces of
6 KB, in batches of 200, and to count them takes as long as with four times as much.
"""

STATEMENTS_KEPT: Final = 16
"""How many prepared statements a connection to SQLite keeps, at some 10 KB each; by default 128.

All connections come to keep all statements: of a busy relay five kept 5 MB after ten minutes.
"""

CONNECTIONS_MAX: Final = 15
"""How many connections to PostgreSQL one relay opens at most; its own default serves 97 in all."""

POOL_TIMEOUT_S: Final = 5.0
"""How long to wait for one of them. While the server hangs, everybody would queue behind it."""

PAGES_PER_STEP: Final = 256
"""How many pages one step gives back to the disk: 1 MiB, some 5 ms of the write lock."""

WAL_ATTEMPTS: Final = 100
"""How often a fresh SQLite file is tried, within the same time."""

_WRITES: Final = "relay_writes"
_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


class Database:
    """An open database. `read` and `write` are its two kinds of transaction.

    `command_timeout_s` is for PostgreSQL; None is `COMMAND_TIMEOUT_S`.
    """

    __slots__ = ("_writes", "engine", "url")

    def __init__(self, url: str, *, command_timeout_s: float | None = None) -> None:
        self.url = database_url(url)
        self._writes = 0
        self.engine = _engine(self.url, command_timeout_s or COMMAND_TIMEOUT_S)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file that only one process writes at a time."""
        return self.url.get_backend_name() == "sqlite"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that only reads; on SQLite it waits for no writer.

        Raises `StoreError` for everything that goes wrong with the database in the block.
        """
        with database_errors():
            async with AsyncSession(self.engine, expire_on_commit=False) as session:
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that writes; it is committed at the end of the block.

        On SQLite it takes the write lock at once (`BEGIN IMMEDIATE`). A deferred one takes it at
        its first write, and if another writer committed since it first read, it fails without
        waiting. Raises `StoreError` for everything that goes wrong with the database.
        """
        engine = writing(self.engine)
        try:
            with database_errors():
                async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                    yield session
        finally:
            # Also where it failed: nobody knows whether it was committed.
            self._writes += 1

    @property
    def _file(self) -> str | None:
        """SQLite's file; None in memory, by a URI, and on a server."""
        path = self.url.database
        named = self.is_sqlite and path and path != ":memory:" and not path.startswith("file:")
        return path if named else None

    @property
    def version(self) -> tuple[int, ...]:
        """Another value once something was written: what was read before may be wrong by now.

        By this object (but for traces), and on SQLite by anybody: whoever commits, the command
        line too, writes into the log beside the file. Nothing tells what others wrote on a server.
        """
        path = self.url.database
        if not self.is_sqlite or not path:
            return (self._writes,)
        try:
            log = Path(f"{path}-wal").stat()
        except OSError:  # it is not there yet, or this is no file
            return (self._writes,)
        return self._writes, log.st_mtime_ns, log.st_size

    async def check(self) -> None:
        """Raise `StoreError` where a SQLite file cannot be opened at all.

        One that is not there yet is made for its owner alone: it will hold what people say.
        aiosqlite leaves the thread of a connection that failed to itself. In a program that ends
        at once, as a command does, that thread finds the event loop closed and prints a traceback.
        """
        if (path := self._file) is not None:
            try:
                await asyncio.to_thread(sqlite_file.make, path)
            except sqlite3.Error as error:
                raise StoreError(f"the database failed: {_first_line(error)}: {path}") from error

    async def empty_wal(self) -> bool:
        """Move SQLite's log into the database and cut it to nothing; True where that was done.

        It holds what was in the pages before, also what was deleted. Nobody waits for it: where
        somebody reads or writes just now, another time will do. Nothing to do on a server.
        """
        return self._file is None or await asyncio.to_thread(sqlite_file.empty_wal, self._file)

    async def free_pages(self) -> int:
        """Return how many free pages SQLite's file could give back; 0 on a server."""
        return 0 if self._file is None else await asyncio.to_thread(sqlite_file.free, self._file)

    async def give_back(self, pages: int) -> None:
        """Cut so many free pages off SQLite's file, in steps between which others may write.

        Nobody waits for it, as for `empty_wal`. A server gives back by itself.
        """
        while self._file is not None and pages > 0:
            step = min(pages, PAGES_PER_STEP)
            if not await asyncio.to_thread(sqlite_file.give_back, self._file, step):
                break
            pages -= step

    async def close(self) -> None:
        """Close all connections. The object is of no use afterwards."""
        await self.engine.dispose()


def writing(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine and pool, with transactions that take SQLite's write lock."""
    return engine.execution_options(**{_WRITES: True})


def database_url(url: str) -> URL:
    """Read a URL and fill in its async driver. Raises `StoreError` where it is of no use."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("the database URL cannot be read") from None
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None or parsed.drivername not in (driver, parsed.get_backend_name()):
        raise StoreError(
            f"{parsed.drivername} is not supported; use {' or '.join(_DRIVERS.values())}"
        )
    return parsed.set(drivername=driver)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what the drivers raise into `StoreError`, in one line and without the parameters."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"the database failed: {_first_line(error.orig)}") from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise StoreError(f"the database failed: {_first_line(error)}") from error


def is_outage(error: BaseException) -> bool:
    """Whether the database is away, busy or full, rather than at odds with what was written."""
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if state:
            # 08 connection, 53 out of resources, 57 shut down or cancelled, 58 disk, XX broken;
            # 25006 read only, 40 rolled back, 55 locked. All others speak of the row.
            return state == "25006" or state[:2] in {"08", "40", "53", "55", "57", "58", "XX"}
        return error.connection_invalidated or _sqlite_code(error) in _SQLITE_OUTAGES
    return isinstance(error, OSError | TimeoutError | PoolTimeout)


# The primary codes of SQLITE_BUSY, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB.
_SQLITE_OUTAGES: Final = frozenset({5, 6, 8, 10, 11, 13, 14, 26})


def _sqlite_code(error: DBAPIError) -> int:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else 0


def _first_line(error: BaseException | None) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _engine(url: URL, command_timeout_s: float) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": BUSY_TIMEOUT_S, "cached_statements": STATEMENTS_KEPT}
        engine = create_async_engine(url, connect_args=arguments)
        event.listen(engine.sync_engine, "connect", _sqlite_connected)
        event.listen(engine.sync_engine, "begin", _sqlite_begins)
        return engine
    query = dict(url.query)
    # libpq's word; asyncpg knows it as `ssl`.
    mode = query.pop("sslmode", None)
    url = url.set(query=query | {"ssl": mode} if mode else query)
    return create_async_engine(
        url,
        pool_pre_ping=True,
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={"command_timeout": command_timeout_s, "timeout": COMMAND_TIMEOUT_S},
    )


def _sqlite_connected(
    connection: AsyncAdapt_aiosqlite_connection, _entry: ConnectionPoolEntry
) -> None:
    cursor = connection.cursor()
    # The driver would begin transactions by itself, deferred and only before some statements.
    connection.isolation_level = None
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
    cursor.execute("PRAGMA page_count")
    if cursor.fetchall() == [(0,)]:
        # Only such a file takes it on. Of any other SQLite would first want the write lock.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _use_wal(connection)
    cursor.execute("PRAGMA synchronous=NORMAL")
    # Each connection has a cache of its own; the kernel has the file's pages for all of them.
    cursor.execute(f"PRAGMA cache_size=-{PAGES_KIB}")
    # What is deleted is overwritten with zeros, not only forgotten.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _use_wal(connection: AsyncAdapt_aiosqlite_connection) -> None:
    """Switch the file to write-ahead logging, once and for good.

    SQLite does not wait for the lock that this takes, whatever its busy timeout: of several
    relays that start on one fresh file, all but one would fail.
    """
    cursor = connection.cursor()
    for attempt in range(WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if attempt == WAL_ATTEMPTS - 1:
                raise
        connection.run_async(_pause)
    cursor.close()


async def _pause(_connection: object) -> None:
    await asyncio.sleep(BUSY_TIMEOUT_S / WAL_ATTEMPTS)


def _sqlite_begins(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
