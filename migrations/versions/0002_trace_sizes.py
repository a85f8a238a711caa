"""How large each trace is and how much it lacks, and indices for every list of traces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "stream_traces"
COUNTS = ("missing_count", "content_bytes", "size_bytes")

SINGLE = ("bot_id", "status", "created_at")
"""Columns whose index now goes by age as well, so that a page of a list is read from it alone."""

BY_AGE = ("bot_id", "missing_count", "status", "user_id")

ROW_BYTES = 1024
"""What `relay.store.trace_rows` counts for a row without its texts."""


def upgrade() -> None:
    for name in COUNTS:
        # SQLite adds a column without a copy of the table where it has a default.
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(TABLE, column)
    count_old_rows()
    for name in SINGLE:
        op.drop_index(f"ix_{TABLE}_{name}", TABLE)
    for name in BY_AGE:
        op.create_index(f"ix_{TABLE}_{name}", TABLE, [name, "created_at", "id"])
    op.create_index(f"ix_{TABLE}_created_at", TABLE, ["created_at", "id", "size_bytes"])
    kept = sa.text("content_bytes > 0")
    op.create_index(
        "ix_stream_traces_with_content",
        TABLE,
        ["created_at", "id", "size_bytes", "content_bytes"],
        sqlite_where=kept,
        postgresql_where=kept,
    )


def count_old_rows() -> None:
    """Fill the new columns in one statement."""
    texts = ("sdk_content", "sse_content")
    others = ("events", "timeline", "missing_sequences", "anomaly")
    table = sa.table(TABLE, *map(sa.column, (*COUNTS, *texts, *others)))
    missing = table.c.missing_sequences
    # The lists were written without blanks, so a list of numbers has one comma less than numbers.
    commas = sa.func.length(missing) - sa.func.length(sa.func.replace(missing, ",", ""))
    content = sum(size_of(table.c[name]) for name in texts)
    rest = sum(size_of(table.c[name]) for name in others)
    values = {
        "missing_count": sa.case((missing == "[]", 0), else_=commas + 1),
        "content_bytes": content,
        "size_bytes": content + rest + ROW_BYTES,
    }
    op.execute(table.update().values(values))


def size_of(column: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Return how many bytes a text takes in UTF-8; 0 for none."""
    present = sa.func.coalesce(column, "")
    if op.get_bind().dialect.name == "sqlite":
        return sa.func.length(sa.cast(present, sa.LargeBinary()))
    return sa.func.octet_length(present)


def downgrade() -> None:
    for name in ("with_content", "created_at", *BY_AGE):
        op.drop_index(f"ix_{TABLE}_{name}", TABLE)
    for name in SINGLE:
        op.create_index(f"ix_{TABLE}_{name}", TABLE, [name])
    with op.batch_alter_table(TABLE) as batch:
        for name in COUNTS:
            batch.drop_column(name)
