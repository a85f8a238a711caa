from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.doctor import storage
from relay.doctor.finding import Finding, Level
from relay.doctor.storage import (
    judge_connections,
    judge_grants,
    judge_schema,
    judge_server,
    judge_space,
    look_at_database,
    network_filesystem,
)
from relay.store.migrate import head_revision, upgrade


def levels(found: list[Finding]) -> list[tuple[str, Level]]:
    """What was looked at, and how it is."""
    return [(finding.area, finding.level) for finding in found]


def url_of(folder: Path) -> str:
    """The URL of the database in this folder."""
    return f"sqlite+aiosqlite:///{folder}/relay.db"


async def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """It is fine, the relay makes it; looking leaves the folder as it was."""
    found = await look_at_database(url_of(tmp_path))
    assert levels(found) == [
        ("database", Level.OK),
        ("migrations", Level.OK),
        ("database", Level.OK),
    ]
    assert not os.listdir(tmp_path)  # noqa: PTH208 - a Path may not be asked in a coroutine


async def test_a_migrated_database_is_fine(tmp_path: Path) -> None:
    """Readable, writable, in WAL mode, with the newest schema."""
    await upgrade(url_of(tmp_path))
    found = await look_at_database(url_of(tmp_path))
    assert {finding.level for finding in found} == {Level.OK}
    assert "mode wal" in found[0].what
    assert head_revision() in found[1].what


async def test_a_schema_that_is_behind_or_ahead_is_told(tmp_path: Path) -> None:
    """Behind: the relay migrates it. Ahead: an older relay must not touch it."""
    await upgrade(url_of(tmp_path))
    told = []
    for revision in ("0001", "9999"):
        with closing(sqlite3.connect(tmp_path / "relay.db")) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        told.append((await look_at_database(url_of(tmp_path)))[1])
    assert [finding.level for finding in told] == [Level.WARN, Level.FAIL]
    assert "newer" in told[1].what


async def test_a_database_in_another_mode_is_told(tmp_path: Path) -> None:
    """Somebody switched it back; the relay would switch it again."""
    await upgrade(url_of(tmp_path))
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    found = await look_at_database(url_of(tmp_path))
    assert [finding.what for finding in found if finding.level is Level.WARN] == [
        f"{tmp_path}/relay.db is not in WAL mode but in 'delete': a reader stops every writer"
    ]


async def test_a_locked_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else holds the write lock for longer than a writer waits."""
    monkeypatch.setattr(storage, "BUSY_TIMEOUT_S", 0.01)
    await upgrade(url_of(tmp_path))
    with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = await look_at_database(url_of(tmp_path))
    assert found[0].level is Level.FAIL
    assert "locked" in found[0].what
    assert "fuser" in found[0].mend


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """Its bytes stay as they are."""
    (tmp_path / "relay.db").write_bytes(b"not a database, " * 64)
    found = await look_at_database(url_of(tmp_path))
    assert found[0].level is Level.FAIL
    assert "not a database" in found[0].what


@pytest.mark.parametrize(
    ("url", "level", "said"),
    [
        ("mysql://db/relay", Level.FAIL, "not supported"),
        ("sqlite+aiosqlite:///none/relay.db", Level.FAIL, "there is no folder"),
        ("sqlite+aiosqlite://", Level.WARN, "gone with its process"),
        ("postgresql+asyncpg://relay:hidden@127.0.0.1:1/relay", Level.FAIL, "127.0.0.1"),
    ],
)
async def test_a_database_that_cannot_be_used_is_told(
    url: str, level: Level, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was tried, and without its password."""
    monkeypatch.chdir(tmp_path)
    (finding,) = await look_at_database(url)
    assert finding.level is level
    assert said in finding.what
    assert "hidden" not in finding.what


@pytest.mark.parametrize(
    ("current", "is_sqlite", "level"),
    [
        ("2", True, Level.OK),
        ("2", False, Level.OK),
        ("1", True, Level.WARN),
        ("1", False, Level.FAIL),
        (None, True, Level.OK),
        (None, False, Level.FAIL),
        ("3", True, Level.FAIL),
        ("3", False, Level.FAIL),
    ],
)
def test_a_schema_is_judged(current: str | None, is_sqlite: bool, level: Level) -> None:
    """A server's schema is only brought up to date by an operator."""
    finding = judge_schema(current, is_sqlite=is_sqlite, known=["1", "2"])
    assert finding.level is level
    assert ("relay db upgrade" in finding.mend) is (
        current in ("1", None) and level is not Level.OK
    )


@pytest.mark.parametrize(
    ("free_bytes", "grows_bytes", "level"),
    [
        (50 << 30, 0, Level.OK),
        (50 << 30, 49 << 30, Level.OK),
        (50 << 30, 51 << 30, Level.WARN),
        (500 << 20, 0, Level.WARN),
        (50 << 20, 0, Level.FAIL),
    ],
)
def test_room_on_the_disk_is_judged(free_bytes: int, grows_bytes: int, level: Level) -> None:
    """Little is a warning, nearly none a failure; traces must have room for what they may take."""
    assert judge_space(free_bytes, Path("/data"), grows_bytes=grows_bytes).level is level


def test_a_database_on_a_network_is_recognised() -> None:
    """By the innermost mount that holds it."""
    mounts = "disk / ext4 rw 0 0\nhost:/x /data nfs4 rw 0 0\ndisk /data/local ext4 rw 0 0\nodd\n"
    assert network_filesystem(mounts, Path("/data/relay.db")) == "nfs4"
    assert network_filesystem(mounts, Path("/data/local/relay.db")) is None
    assert network_filesystem(mounts, Path("/srv/relay.db")) is None
    assert network_filesystem("", Path("/srv/relay.db")) is None


async def test_a_database_on_a_network_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's log needs shared memory, which no network has."""
    (tmp_path / "mounts").write_text("host:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(storage, "MOUNTS", tmp_path / "mounts")
    (found,) = [f for f in await look_at_database(url_of(tmp_path)) if f.level is Level.FAIL]
    assert "nfs4" in found.what


def test_a_server_is_judged() -> None:
    """A standby and a read-only role take no writes."""
    assert judge_server("16.1", standby=False, readonly=False).level is Level.OK
    assert "primary" in judge_server("16.1", standby=True, readonly=True).mend
    assert "read_only" in judge_server("16.1", standby=False, readonly=True).mend


def test_rights_and_connections_are_judged() -> None:
    """Tables by their names; and one more relay must find room."""
    assert judge_grants([]) == []
    assert "bots, stream_traces" in judge_grants(["bots", "stream_traces"])[0].mend
    assert judge_connections(100, 20).level is Level.OK
    assert judge_connections(100, 90).level is Level.WARN
