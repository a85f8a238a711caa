"""The key that signs tickets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay.store.signing_key import signing_key


def test_a_sqlite_file_has_one_key_for_good(tmp_path: Path) -> None:
    """A restart finds it again; another database has another."""
    url = f"sqlite+aiosqlite:///{tmp_path}/relay.db"
    key = signing_key(url)
    assert len(key) == 64
    assert signing_key(url) == key
    assert signing_key(f"sqlite+aiosqlite:///{tmp_path}/other.db") != key


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The file is its owner's alone."""
    signing_key(f"sqlite+aiosqlite:///{tmp_path}/relay.db")
    assert stat.S_IMODE((tmp_path / "relay.db.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "postgresql+asyncpg://u:p@h/d"])
def test_without_a_file_each_process_has_its_own(url: str, tmp_path: Path) -> None:
    """There is no place beside such a database; nothing is written anywhere."""
    assert signing_key(url) != signing_key(url)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_not_taken_for_a_key(tmp_path: Path) -> None:
    """An empty key would sign for everybody."""
    (tmp_path / "relay.db.key").write_text("\n")
    with pytest.raises(OSError, match="delete it"):
        signing_key(f"sqlite+aiosqlite:///{tmp_path}/relay.db")
