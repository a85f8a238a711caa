"""An insertion in the words of each dialect."""

from __future__ import annotations

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from relay.store.models import BindingPlace
from relay.store.upsert import insert_into


@pytest.mark.parametrize(
    ("dialect", "is_sqlite"),
    [(sqlite.dialect(), True), (postgresql.dialect(), False)],  # type: ignore[no-untyped-call]
    ids=["sqlite", "postgresql"],
)
def test_the_dialect_that_was_asked_for_can_say_it(dialect: Dialect, *, is_sqlite: bool) -> None:
    """Real databases are asked where rows are written; this is what they begin with."""
    statement = insert_into(BindingPlace, is_sqlite=is_sqlite).values(context_hash="0")
    said = str(statement.on_conflict_do_nothing().compile(dialect=dialect))
    assert said.startswith("INSERT INTO binding_contexts")
    assert "ON CONFLICT DO NOTHING" in said
