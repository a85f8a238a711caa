from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.store import sqlite_file

PAGE = 4096
"""Bytes, as SQLite makes them."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file with a hundred texts of ten pages, every other one deleted: half of it is free."""
    path = tmp_path / "relay.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        fill(connection)
    return str(path)


def fill(connection: sqlite3.Connection) -> None:
    """Write them, and delete every other one."""
    connection.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text BLOB)")
    for number in range(100):
        query = "INSERT INTO texts VALUES (?, ?)"
        connection.execute(query, (number, bytes(40_000) + str(number).encode()))
    connection.execute("DELETE FROM texts WHERE id % 2")


def pages(path: str) -> int:
    """How many the file on the disk has."""
    return Path(path).stat().st_size // PAGE


def test_what_is_free_is_given_back_to_the_disk_and_what_is_there_stays(path: str) -> None:
    """By as many pages as were asked for, however they lie between others."""
    free, whole = sqlite_file.free(path), pages(path)
    assert free > 490
    assert sqlite_file.give_back(path, 100)
    assert sqlite_file.empty_wal(path)
    assert sqlite_file.free(path) == pytest.approx(free - 100, abs=2)
    assert pages(path) == pytest.approx(whole - 100, abs=2)
    with closing(sqlite3.connect(path)) as connection:
        ends = [text[40_000:] for (text,) in connection.execute("SELECT text FROM texts")]
        assert ends == [str(number).encode() for number in range(0, 100, 2)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_more_than_is_free_is_all_that_is_free(path: str) -> None:
    """Another relay may have taken some of it meanwhile."""
    assert sqlite_file.give_back(path, 10_000)
    assert sqlite_file.free(path) == 0


def test_whoever_writes_is_not_waited_for(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for SQLite's own 5 s: another sweep does it."""
    waits: set[float] = set()

    class Connection(sqlite3.Connection):
        def __init__(self, database: str, timeout: float = 5.0) -> None:
            waits.add(timeout)
            super().__init__(database, timeout)

    monkeypatch.setattr("relay.store.sqlite_file.sqlite3.connect", Connection)
    with closing(sqlite3.Connection(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        free = sqlite_file.free(path)
        assert not sqlite_file.give_back(path, 100)
        other.execute("COMMIT")
    assert sqlite_file.free(path) == free
    assert sqlite_file.give_back(path, 100)
    assert sqlite_file.empty_wal(path)
    assert waits == {0}


def test_a_file_that_was_made_without_it_has_nothing_to_give_back(tmp_path: Path) -> None:
    """It would have to be written anew: nobody takes its write lock for nothing each minute."""
    path = str(tmp_path / "older.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        fill(connection)
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] > 490
        assert sqlite_file.free(path) == 0
        connection.executescript("PRAGMA auto_vacuum=INCREMENTAL; VACUUM")
        connection.execute("DELETE FROM texts")
    assert sqlite_file.free(path) > 490


def test_what_is_no_database_is_left_to_those_who_read_it(tmp_path: Path) -> None:
    """They say what is wrong with it."""
    path = tmp_path / "relay.db"
    path.write_text("not a database, and long enough to be looked at" * 100)
    assert sqlite_file.free(str(path)) == 0
    assert not sqlite_file.give_back(str(path), 1)
    assert not sqlite_file.empty_wal(str(path))
