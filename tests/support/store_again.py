"""The store's tests once more, on PostgreSQL: for the files of tests/integration/store_on_postgres.

globals().update(again("test_people"))
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import pytest


def again(module: str, *only_sqlite: str) -> Mapping[str, object]:
    """Return the tests and fixtures of a file of tests/unit/store, without those of SQLite's own.

    `only_sqlite` are tests that look into the file, lock or break it, or ask SQLite how it works.
    """
    found = dict(vars(import_module(f"tests.unit.store.{module}")))
    for name in only_sqlite:
        del found[name]
    taken = {name: value for name, value in found.items() if not name.startswith("__")}
    return {**taken, "pytestmark": pytest.mark.needs("postgres", "initdb")}
