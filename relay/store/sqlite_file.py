"""What is done to SQLite's file as a whole; each by a connection of its own.

Not by one of the pool: those wait for each other, and hold the write lock meanwhile. These here
give up at once where somebody is in the way.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import Final

_INCREMENTAL: Final = 2
"""What `PRAGMA auto_vacuum` answers (sqlite.org/pragma.html)."""


def make(path: str) -> None:
    """Make the file for its owner alone where it is not there. Raises `sqlite3.Error`."""
    # Whatever else is wrong with the path, SQLite says better than the system.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    sqlite3.connect(path).close()


def empty_wal(path: str) -> bool:
    """Move the log into the file and cut it to nothing; False where somebody is in the way."""
    try:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy


def free(path: str) -> int:
    """Return how many pages hold nothing and could be given back; 0 if it cannot tell.

    0 as well for a file that was made without `auto_vacuum`: it gives nothing back.
    """
    try:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
                return 0
            return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    except sqlite3.Error:
        return 0


def give_back(path: str, pages: int) -> bool:
    """Move the last pages into free ones, so that the file ends earlier by so many.

    The file on the disk does, once the log has been moved into it. False where somebody is in the
    way.
    """
    try:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.execute("PRAGMA synchronous=NORMAL")
            # As a script: `execute` takes the first step of this statement, which is one page.
            connection.executescript(f"PRAGMA incremental_vacuum({pages:d})")
    except sqlite3.Error:
        return False
    return True
