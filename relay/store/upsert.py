"""`INSERT ... ON CONFLICT`, which SQLAlchemy has for each dialect by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy.dialects import sqlite

from relay.store.models import Record

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert


def insert_into(table: type[Record], *, is_sqlite: bool) -> Insert:
    """Return an insertion that `on_conflict_do_update` and `on_conflict_do_nothing` go on from.

    The two dialects spell it alike, in two classes. PostgreSQL's is imported only where it is asked
    for: it would be an eighth of what a relay takes to import as it starts.
    """
    if is_sqlite:
        return cast("Insert", sqlite.insert(table))
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

    return postgresql.insert(table)
