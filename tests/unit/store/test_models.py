from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import BigInteger, Integer
from sqlmodel import SQLModel

from relay.admin.trace_row import TraceRow
from relay.store.engine import Database
from relay.store.models import Bot, Record, StreamTrace, moment

# fmt: off
REFERENCE = {
    "trace_id", "message_id", "agent_id", "bot_id", "status", "events", "sdk_content",
    "sse_content", "sdk_chunk_count", "sse_chunk_count", "anomaly", "created_at", "updated_at",
    "sdk_total_chunks", "missing_sequences", "loss_position", "first_chunk_delay",
    "avg_chunk_interval", "last_chunk_delay",
}
# fmt: on


def test_a_trace_keeps_the_references_columns_by_name() -> None:
    """Queries that were written for the reference's table still find what they ask for."""
    assert set(StreamTrace.model_fields) >= REFERENCE


def test_every_field_of_a_trace_row_has_its_column() -> None:
    """The table adds its own id, when it was last written, and how large it is, nothing else."""
    own = {"id", "updated_at", "missing_count", "content_bytes", "size_bytes"}
    assert set(StreamTrace.model_fields) == {item.name for item in fields(TraceRow)} | own


def test_no_number_is_kept_in_32_bits() -> None:
    """A bot may state a count of 2**63 - 1. SQLite's INTEGER has 64 bits as well."""
    columns = [column for table in Record.metadata.sorted_tables for column in table.columns]
    narrow = [
        c for c in columns if isinstance(c.type, Integer) and not isinstance(c.type, BigInteger)
    ]
    assert narrow == []


def test_every_constraint_has_a_name() -> None:
    """What has no name cannot be dropped by a later migration on SQLite."""
    constraints = [c for table in Record.metadata.sorted_tables for c in table.constraints]
    assert constraints
    assert all(c.name for c in constraints)


def test_the_tables_are_in_metadata_of_their_own() -> None:
    """Another user of SQLModel in the same process adds nothing to our migrations."""
    assert not SQLModel.metadata.tables
    tables = {"bots", "access_keys", "admin_tokens", "stream_traces"}
    assert set(Record.metadata.tables) == tables | {"binding_tokens", "binding_contexts"}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=8))])
async def test_a_moment_comes_back_in_utc(database: Database, zone: timezone) -> None:
    """SQLite keeps no zone: without ours, Beijing's morning would be read as UTC's."""
    at = datetime(2026, 2, 27, 10, 0, 0, 250_000, zone)
    bot = Bot(name="b", token_prefix="", token_hash="h", created_at=at, updated_at=at)
    async with database.write() as session:
        session.add(bot)
    async with database.read() as session:
        found = await session.get(Bot, bot.id)
    assert found is not None
    assert found.created_at == at
    assert found.created_at.tzinfo is UTC


def test_a_moment_keeps_microseconds() -> None:
    """Two traces of one millisecond still have an order."""
    assert moment(1_772_157_600.000_25) > moment(1_772_157_600.000_249)


def test_every_table_numbers_its_rows_once() -> None:
    """The models say so as the migrations do; comparing the two schemas does not see it."""
    tables = Record.metadata.sorted_tables
    assert all(table.dialect_options["sqlite"]["autoincrement"] for table in tables)


async def test_an_id_is_never_given_twice(database: Database) -> None:
    """The traces of a deleted bot must not become those of the next one."""

    def bot(token_hash: str) -> Bot:
        at = moment(0)
        return Bot(name="b", token_prefix="", token_hash=token_hash, created_at=at, updated_at=at)

    first, second = bot("1"), bot("2")
    async with database.write() as session:
        session.add(first)
    async with database.write() as session:
        await session.delete(first)
    async with database.write() as session:
        session.add(second)
    assert first.id is not None
    assert second.id == first.id + 1
