"""The database: can it be reached and written, is its schema the right one, is there room."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import text
from sqlalchemy.engine import URL

from relay.doctor.finding import Finding, failure, fine, unseen, warning
from relay.doctor.machine import judge_offset
from relay.errors import StoreError
from relay.settings_parsed import without_password
from relay.store.engine import BUSY_TIMEOUT_S, Database, database_errors, database_url
from relay.store.migrate import head_revision, known_revisions
from relay.store.models import Record
from relay.store.schema import current_revision

DATABASE: Final = "database"
MIGRATIONS: Final = "migrations"

FREE_WARN_BYTES: Final = 1 << 30
FREE_FAIL_BYTES: Final = 100 << 20

POOL_CONNECTIONS: Final = 15
"""How many connections one relay opens at most."""

ANSWER_S: Final = 10.0

MOUNTS: Final = Path("/proc/mounts")
NETWORKED: Final = frozenset({"9p", "cifs", "fuse.sshfs", "glusterfs", "nfs", "nfs4", "smb3"})
"""File systems on which SQLite's write-ahead log does not work: it needs shared memory."""

_UPGRADE: Final = "run `relay db upgrade`"

_SERVER: Final = """
SELECT current_setting('server_version'), pg_is_in_recovery(),
       current_setting('transaction_read_only') = 'on',
       CAST(current_setting('max_connections') AS integer), (SELECT count(*) FROM pg_stat_activity),
       CAST(extract(epoch FROM clock_timestamp()) AS double precision)
"""
_DENIED: Final = """
SELECT relname FROM pg_class
WHERE relkind = 'r' AND relname = ANY(:tables) AND pg_table_is_visible(oid)
  AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
           AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
ORDER BY relname
"""


async def look_at_database(url: str, *, grows_to_bytes: int = 0) -> list[Finding]:
    """Look at the database and its schema, and leave both as they are.

    Its traces may take `grows_to_bytes`, for which there must be room.
    """
    try:
        parsed = database_url(url)
    except StoreError as error:
        return [failure(DATABASE, str(error), "correct RELAY_DATABASE_URL")]
    if parsed.get_backend_name() != "sqlite":
        return await _server(parsed)
    name = parsed.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        return [
            warning(
                DATABASE,
                f"{name} is gone with its process: bots, keys and traces",
                "name a file: RELAY_DATABASE_URL=sqlite+aiosqlite:///relay.db",
            )
        ]
    return await asyncio.to_thread(_file, Path(name), grows_to_bytes)


# --- SQLite -----------------------------------------------------------------------------


def _file(path: Path, grows_to_bytes: int) -> list[Finding]:
    folder = path.absolute().parent
    if not folder.is_dir():
        return [failure(DATABASE, f"there is no folder {folder}", f"`mkdir -p {folder}`")]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [
            failure(
                DATABASE,
                f"{folder} cannot be written, and SQLite keeps files beside the database",
                "give the folder to the relay's user",
            )
        ]
    found = (
        _contents(path) if path.exists() else [_absent(path), judge_schema(None, is_sqlite=True)]
    )
    kind = network_filesystem(_mounts(), path.resolve())
    if kind is not None:
        found.append(
            failure(
                DATABASE,
                f"{path} lies on a file system of the network ({kind})",
                "move it to a local disk, or use PostgreSQL: the write-ahead log fails there",
            )
        )
    taken = path.stat().st_size if path.exists() else 0
    free = shutil.disk_usage(folder).free
    return [*found, judge_space(free, folder, grows_bytes=max(0, grows_to_bytes - taken))]


def _absent(path: Path) -> Finding:
    return fine(DATABASE, f"{path} is not there yet; the relay makes it at its first start")


def _contents(path: Path) -> list[Finding]:
    try:
        # Not read-write-create: looking at a database must not make one.
        address = f"file:{quote(str(path.absolute()))}?mode=rw"
        with closing(
            sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        ) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            revision = _revision(connection)
            schema = judge_schema(revision, is_sqlite=True)
            began = time.monotonic()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            waited_s = time.monotonic() - began
    except sqlite3.OperationalError as error:
        return [_failed(path, str(error))]
    except sqlite3.DatabaseError as error:
        return [failure(DATABASE, f"{path}: {error}", "put a backup in its place, or start anew")]
    found = [schema]
    if waited_s > 1.0:
        found.append(
            warning(
                DATABASE,
                f"another process held the write lock for {waited_s:.1f} s",
                "find out which (`fuser`): traces wait that long, and are lost in the end",
            )
        )
    if mode != "wal" and revision is not None:
        found.append(
            warning(
                DATABASE,
                f"{path} is not in WAL mode but in {mode!r}: a reader stops every writer",
                "it is switched at the relay's start; if it stays so, move it to a local disk",
            )
        )
    return [fine(DATABASE, f"{path} can be read and written, mode {mode}"), *found]


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    return found[0] if found else None


def _failed(path: Path, why: str) -> Finding:
    match why:
        case _ if "locked" in why:
            mend = "find out who holds it (`fuser`): one relay writes a file, and nobody for long"
        case _ if "readonly" in why or "unable to open" in why:
            mend = "give the file and its folder to the relay's user"
        case _ if "full" in why:
            mend = "make room on the disk"
        case _:
            mend = "look at the disk, then put a backup in its place"
    return failure(DATABASE, f"{path}: {why}", mend)


def judge_space(free_bytes: int, folder: Path, *, grows_bytes: int = 0) -> Finding:
    """Judge what is free on the disk, of which the traces may still take so much."""
    what = f"{free_bytes / (1 << 30):.1f} GiB free in {folder}"
    if grows_bytes > free_bytes:
        what += f", and traces may take {grows_bytes / (1 << 30):.1f} GiB more"
    mend = "make room: on a full disk traces are lost, and nobody new can be added"
    if free_bytes < FREE_FAIL_BYTES:
        return failure(DATABASE, what, mend)
    if free_bytes < max(FREE_WARN_BYTES, grows_bytes):
        return warning(DATABASE, what, f"{mend}; or lower RELAY_TRACE_BYTES_MAX")
    return fine(DATABASE, what)


def _mounts() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def network_filesystem(mounts: str, path: Path) -> str | None:
    """Return the type of the file system that `path` is on, where it is one of the network.

    `mounts` is what /proc/mounts says: device, folder, type, and so on, a line each.
    """
    places = [line.split()[1:3] for line in mounts.splitlines()]
    above = [place for place in places if len(place) == 2 and path.is_relative_to(place[0])]  # noqa: PLR2004
    _, kind = max(above, key=lambda place: len(place[0]), default=("", ""))
    return kind if kind in NETWORKED else None


# --- PostgreSQL -------------------------------------------------------------------------


async def _server(url: URL) -> list[Finding]:
    shown = without_password(url.render_as_string(hide_password=True))
    database = Database(url.render_as_string(hide_password=False))
    try:
        async with asyncio.timeout(ANSWER_S):
            found = await _questions(database)
            revision = await current_revision(database)
    except (StoreError, TimeoutError) as error:
        why = str(error) or f"no answer within {ANSWER_S:g} s"
        return [failure(DATABASE, f"{shown}: {why}", "check RELAY_DATABASE_URL and the server")]
    finally:
        await database.close()
    return [*found, judge_schema(revision, is_sqlite=False)]


async def _questions(database: Database) -> list[Finding]:
    with database_errors():
        async with database.engine.connect() as connection:
            before = time.time()
            answer = (await connection.execute(text(_SERVER))).one()
            ours = (before + time.time()) / 2
            tables = {"tables": list(Record.metadata.tables)}
            denied = (await connection.execute(text(_DENIED), tables)).scalars().all()
    version, is_standby, is_readonly, allowed, used, theirs = answer
    return [
        judge_server(str(version), standby=bool(is_standby), readonly=bool(is_readonly)),
        *judge_grants(denied),
        judge_connections(int(allowed), int(used)),
        judge_offset(float(theirs) - ours, "the database"),
        unseen(DATABASE, "how much room the server's disk has cannot be seen from here"),
    ]


def judge_server(version: str, *, standby: bool, readonly: bool) -> Finding:
    """Judge what kind of server it is."""
    if standby:
        return failure(
            DATABASE, "the server is a standby and takes no writes", "name the primary in the URL"
        )
    if readonly:
        return failure(
            DATABASE,
            "transactions are read-only",
            "ALTER ROLE ... SET default_transaction_read_only = off",
        )
    return fine(DATABASE, f"PostgreSQL {version} answers and takes writes")


def judge_grants(denied: Sequence[str]) -> list[Finding]:
    """Judge the tables on which the relay's role lacks a right."""
    if not denied:
        return []
    names = ", ".join(denied)
    mend = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {names} TO the relay's role"
    return [failure(DATABASE, f"the relay's role may not read and write {names}", mend)]


def judge_connections(allowed: int, used: int) -> Finding:
    """Judge whether one more relay finds room among the server's connections."""
    what = f"{used} of {allowed} connections are in use"
    if allowed - used < POOL_CONNECTIONS:
        mend = f"raise max_connections: a relay opens up to {POOL_CONNECTIONS}"
        return warning(DATABASE, what, mend)
    return fine(DATABASE, what)


# --- the schema -------------------------------------------------------------------------


def judge_schema(
    current: str | None, *, is_sqlite: bool, known: Iterable[str] | None = None
) -> Finding:
    """Judge a schema against what this relay knows (`known`: other names, oldest first)."""
    names = list(known_revisions() if known is None else known)
    head = head_revision() if known is None else names[-1]
    if current == head:
        return fine(MIGRATIONS, f"the schema is the newest, {head}")
    if current is not None and current not in names:
        return failure(
            MIGRATIONS,
            f"the database is at schema {current}, newer than {head} of this relay",
            "update the relay, or put back a backup of the database",
        )
    behind = f"the database is at schema {current or 'none'}, and this relay needs {head}"
    if not is_sqlite:
        return failure(MIGRATIONS, behind, _UPGRADE)
    if current is None:
        return fine(MIGRATIONS, f"no schema yet; the relay makes {head} at its first start")
    return warning(MIGRATIONS, behind, f"it is migrated at the relay's next start, or {_UPGRADE}")
