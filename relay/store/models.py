"""The tables. migrations/ creates them; a test holds the two equal.

Counts and ids are BigInteger: a bot may state any number up to 2**63 - 1, and an int32 column
would then fail the whole batch that the row is in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    text,
)
from sqlmodel import Field, SQLModel

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Without names a constraint cannot be dropped again on SQLite, where the table is copied."""

NAME_CHARS_MAX: Final = 255

WITH_CONTENT: Final = "content_bytes > 0"
"""Which traces hold a text; the sweep that blanks old ones looks at no others."""

ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is spelled INTEGER; it holds 64 bits too."""


class UtcTime(TypeDecorator[datetime]):
    """A moment with its zone on both sides. SQLite keeps no zone and would return a naive one."""

    # SQLAlchemy declares these wider than a decorator needs them, and reads them from the class.
    impl = DateTime(timezone=True)  # type: ignore[mutable-override]
    cache_ok = True  # type: ignore[mutable-override]

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Write UTC, whatever zone the moment was given in."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Read UTC."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Record(SQLModel):
    """Base of all tables. The table's name overrides what SQLModel would derive from the class."""

    metadata = MetaData(naming_convention=NAMING)
    # An id is never given twice: a trace of a deleted bot must not become that of the next one.
    __table_args__ = {"sqlite_autoincrement": True}


class Bot(Record, table=True):
    """A bot and the user whose questions it gets."""

    __tablename__ = "bots"  # type: ignore[mutable-override]

    id: int | None = Field(default=None, primary_key=True, sa_type=ROW_ID)
    name: str = Field(max_length=NAME_CHARS_MAX)
    description: str = Field(default="", sa_type=Text)
    status: str = Field(default="offline")
    rokid_user_id: str | None = Field(default=None, unique=True)
    rokid_device_id: str | None = Field(default=None)
    token_prefix: str
    token_hash: str = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcTime)
    updated_at: datetime = Field(sa_type=UtcTime)


class AccessKey(Record, table=True):
    """What a device's platform authenticates with."""

    __tablename__ = "access_keys"  # type: ignore[mutable-override]

    id: int | None = Field(default=None, primary_key=True, sa_type=ROW_ID)
    name: str = Field(max_length=NAME_CHARS_MAX)
    description: str = Field(default="", sa_type=Text)
    key_prefix: str
    key_hash: str = Field(unique=True)
    scope: str | None = Field(default=None, sa_type=Text)
    """As `relay.store.scopes` writes it; without one, everything."""
    is_active: bool = Field(default=True)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcTime)
    created_at: datetime = Field(sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)


class AdminToken(Record, table=True):
    """What an administrator authenticates with."""

    __tablename__ = "admin_tokens"  # type: ignore[mutable-override]

    id: int | None = Field(default=None, primary_key=True, sa_type=ROW_ID)
    token_prefix: str
    token_hash: str = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)


class StreamTrace(Record, table=True):
    """One finished stream. `relay.admin.trace_row.TraceRow` says what the columns hold."""

    __tablename__ = "stream_traces"  # type: ignore[mutable-override]
    __table_args__ = (  # type: ignore[assignment]
        # A page of a list is read from one of these; the last one says what all traces take.
        Index(None, "bot_id", "created_at", "id"),
        Index(None, "missing_count", "created_at", "id"),
        Index(None, "status", "created_at", "id"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "created_at", "id", "size_bytes"),
        Index(
            "ix_stream_traces_with_content",
            "created_at",
            "id",
            "size_bytes",
            "content_bytes",
            # On PostgreSQL, too (migration 0002): told here, each start would import its dialect.
            sqlite_where=text(WITH_CONTENT),
        ),
        Record.__table_args__,
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=ROW_ID)
    trace_id: str = Field(unique=True)
    stream_id: str = Field(index=True)
    message_id: str = Field(index=True)
    agent_id: str
    user_id: str
    bot_id: int | None = Field(default=None, sa_type=BigInteger)
    access_key_id: int = Field(sa_type=BigInteger)
    sdk_version: str
    protocol: int = Field(sa_type=BigInteger)
    status: str
    outcome: str
    events: str = Field(sa_type=Text)
    sdk_content: str = Field(sa_type=Text)
    sse_content: str = Field(sa_type=Text)
    sdk_chunk_count: int = Field(sa_type=BigInteger)
    sse_chunk_count: int = Field(sa_type=BigInteger)
    sdk_total_chunks: int | None = Field(default=None, sa_type=BigInteger)
    missing_sequences: str = Field(sa_type=Text)
    missing_count: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    loss_position: str | None = None
    loss_hop: str | None = None
    repaired_by: str | None = None
    first_chunk_delay: int | None = Field(default=None, sa_type=BigInteger)
    avg_chunk_interval: int | None = Field(default=None, sa_type=BigInteger)
    last_chunk_delay: int | None = Field(default=None, sa_type=BigInteger)
    ack_delay_p50: float | None = Field(default=None, sa_type=Double)
    ack_delay_p99: float | None = Field(default=None, sa_type=Double)
    delivery_delay_p50: float | None = Field(default=None, sa_type=Double)
    delivery_delay_p99: float | None = Field(default=None, sa_type=Double)
    timeline: str = Field(sa_type=Text)
    anomaly: str | None = Field(default=None, sa_type=Text)
    content_bytes: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    """Of both texts. Columns that are no field of a row are in `relay.store.trace_rows`."""
    size_bytes: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(sa_type=UtcTime)
    updated_at: datetime = Field(sa_type=UtcTime)


class BindingToken(Record, table=True):
    """What binds one user to a bot, once."""

    __tablename__ = "binding_tokens"  # type: ignore[mutable-override]

    id: int | None = Field(default=None, primary_key=True, sa_type=ROW_ID)
    bot_id: int = Field(sa_type=BigInteger)
    token_prefix: str
    token_hash: str = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(index=True, sa_type=UtcTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcTime)
    user_id: str | None = None
    device_id: str | None = None


class BindingPlace(Record, table=True):
    """Where a user was asked for a photo of a token: a `BindingContext`, by its hash."""

    __tablename__ = "binding_contexts"  # type: ignore[mutable-override]

    id: int | None = Field(default=None, primary_key=True, sa_type=ROW_ID)
    context_hash: str = Field(unique=True)
    asked_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(index=True, sa_type=UtcTime)


def moment(now: float) -> datetime:
    """Return seconds since the epoch as the columns keep them; microseconds survive."""
    return datetime.fromtimestamp(now, UTC)
