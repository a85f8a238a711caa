"""Tokens that bind a user to a bot, and where a user was asked for a photo of one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "binding_tokens",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=False),
        sa.Column("token_prefix", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("device_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_binding_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_binding_tokens_token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_binding_tokens_expires_at", "binding_tokens", ["expires_at"])
    op.create_table(
        "binding_contexts",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("context_hash", sa.String(), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_binding_contexts"),
        sa.UniqueConstraint("context_hash", name="uq_binding_contexts_context_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_binding_contexts_expires_at", "binding_contexts", ["expires_at"])


def downgrade() -> None:
    for table in ("binding_contexts", "binding_tokens"):
        op.drop_table(table)
