"""Bots, access keys, administrators' tokens and the traces of streams."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    create_bots()
    create_access_keys()
    create_admin_tokens()
    create_stream_traces()


def create_bots() -> None:
    op.create_table(
        "bots",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("rokid_user_id", sa.String(), nullable=True),
        sa.Column("rokid_device_id", sa.String(), nullable=True),
        sa.Column("token_prefix", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bots"),
        sa.UniqueConstraint("rokid_user_id", name="uq_bots_rokid_user_id"),
        sa.UniqueConstraint("token_hash", name="uq_bots_token_hash"),
        sqlite_autoincrement=True,
    )


def create_access_keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("key_prefix", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_access_keys"),
        sa.UniqueConstraint("key_hash", name="uq_access_keys_key_hash"),
        sqlite_autoincrement=True,
    )


def create_admin_tokens() -> None:
    op.create_table(
        "admin_tokens",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("token_prefix", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_admin_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_admin_tokens_token_hash"),
        sqlite_autoincrement=True,
    )


def create_stream_traces() -> None:
    op.create_table(
        "stream_traces",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("trace_id", sa.String(), nullable=False),
        sa.Column("stream_id", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=True),
        sa.Column("access_key_id", sa.BigInteger(), nullable=False),
        sa.Column("sdk_version", sa.String(), nullable=False),
        sa.Column("protocol", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("sdk_content", sa.Text(), nullable=False),
        sa.Column("sse_content", sa.Text(), nullable=False),
        sa.Column("sdk_chunk_count", sa.BigInteger(), nullable=False),
        sa.Column("sse_chunk_count", sa.BigInteger(), nullable=False),
        sa.Column("sdk_total_chunks", sa.BigInteger(), nullable=True),
        sa.Column("missing_sequences", sa.Text(), nullable=False),
        sa.Column("loss_position", sa.String(), nullable=True),
        sa.Column("loss_hop", sa.String(), nullable=True),
        sa.Column("repaired_by", sa.String(), nullable=True),
        sa.Column("first_chunk_delay", sa.BigInteger(), nullable=True),
        sa.Column("avg_chunk_interval", sa.BigInteger(), nullable=True),
        sa.Column("last_chunk_delay", sa.BigInteger(), nullable=True),
        sa.Column("ack_delay_p50", sa.Double(), nullable=True),
        sa.Column("ack_delay_p99", sa.Double(), nullable=True),
        sa.Column("delivery_delay_p50", sa.Double(), nullable=True),
        sa.Column("delivery_delay_p99", sa.Double(), nullable=True),
        sa.Column("timeline", sa.Text(), nullable=False),
        sa.Column("anomaly", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stream_traces"),
        sa.UniqueConstraint("trace_id", name="uq_stream_traces_trace_id"),
        sqlite_autoincrement=True,
    )
    for column in ("stream_id", "message_id", "bot_id", "status", "created_at"):
        op.create_index(f"ix_stream_traces_{column}", "stream_traces", [column])


def downgrade() -> None:
    for table in ("stream_traces", "admin_tokens", "access_keys", "bots"):
        op.drop_table(table)
