"""The store on a real PostgreSQL: the same story as on SQLite, and what only a server can do."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from relay.admin.people import EVERYTHING, Scope
from relay.clock import ManualClock
from relay.errors import BadRequest, StoreError
from relay.store import engine
from relay.store.engine import Database
from relay.store.migrate import head_revision, upgrade
from relay.store.schema import current_revision, prepare
from relay.store.store import Store
from tests.support.postgres import Postgres, postgres_server, postgres_url
from tests.support.store import NOW, ROW, schema_differences, trace_row

__all__ = ["postgres_server", "postgres_url"]

pytestmark = pytest.mark.needs("postgres", "initdb")


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """An open store on an upgraded database."""
    await upgrade(postgres_url)
    store = await Store.open(postgres_url, ManualClock(NOW))
    yield store
    await store.close()


async def test_the_migrated_schema_equals_the_models(postgres_url: str) -> None:
    """As on SQLite."""
    await upgrade(postgres_url)
    database = Database(postgres_url)
    assert await schema_differences(database) == []
    await database.close()


async def test_a_server_is_never_migrated_by_being_opened(postgres_url: str) -> None:
    """Other processes use it: the message names the command, and nothing was made."""
    with pytest.raises(StoreError, match=r"schema none .* needs 0\d+; run `relay db upgrade`"):
        await Store.open(postgres_url)
    database = Database(postgres_url)
    assert await current_revision(database) is None
    await upgrade(postgres_url)
    await prepare(database)
    await database.close()


async def test_upgrades_at_the_same_time_wait_for_each_other(postgres_url: str) -> None:
    """An advisory lock lets one migrate; the others find it done."""
    assert await asyncio.gather(*(upgrade(postgres_url) for _ in range(4))) == [head_revision()] * 4


async def test_an_upgrade_waits_for_the_advisory_lock(postgres_url: str) -> None:
    """While somebody else holds it, nothing is made."""
    database = Database(postgres_url)
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(:k)"), {"k": 0x72656C6179})
        waiting = asyncio.create_task(upgrade(postgres_url))
        query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while (await connection.execute(query)).scalar_one() == 0:
            assert not waiting.done()
        await connection.execute(text("SELECT pg_advisory_unlock_all()"))
    assert await waiting == head_revision()
    await database.close()


async def test_an_upgrade_may_take_longer_than_a_statement_of_the_relay(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other upgrade that it waits for needs twice the relay's timeout here."""
    monkeypatch.setattr(engine, "COMMAND_TIMEOUT_S", 0.2)
    database = Database(postgres_url, command_timeout_s=10)
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(:k)"), {"k": 0x72656C6179})
        waiting = asyncio.create_task(upgrade(postgres_url))
        query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while (await connection.execute(query)).scalar_one() == 0:
            assert not waiting.done()
        await connection.execute(text("SELECT pg_sleep(0.4)"))
        await connection.execute(text("SELECT pg_advisory_unlock_all()"))
    assert await waiting == head_revision()
    await database.close()


async def test_a_pool_that_is_used_up_is_an_outage_and_no_endless_queue(
    store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection is busy: the next asker is told so. One that comes back serves again."""
    monkeypatch.setattr(engine, "CONNECTIONS_MAX", 2)
    monkeypatch.setattr(engine, "POOL_TIMEOUT_S", 0.1)
    small = await Store.open(postgres_url)
    pool = small._database.engine  # noqa: SLF001 - its connections are what runs out
    async with pool.connect():
        async with pool.connect():
            with pytest.raises(StoreError, match="QueuePool limit of size 2 overflow 0 reached"):
                await small.ping()
        await small.ping()
    await small.close()


async def test_a_migration_that_fails_leaves_nothing(postgres_url: str) -> None:
    """One transaction for the whole schema."""
    database = Database(postgres_url)
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE stream_traces (id INTEGER)"))
    with pytest.raises(StoreError, match="already exists"):
        await upgrade(postgres_url)
    async with database.engine.connect() as connection:
        query = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert (await connection.execute(query)).scalars().all() == ["stream_traces"]
    await database.close()


async def test_bots_and_keys_are_found_by_their_tokens(store: Store) -> None:
    """And a token or user that is taken is the caller's mistake."""
    bot = await store.add_bot("小助手", "t" * 64, user_id="u1")
    key = await store.add_access_key("glasses", "ak_1")
    await store.add_admin_token("adm_1")
    by_token, by_user = await store.bot_by_token("t" * 64), await store.bot_by_user("u1")
    assert (by_token and by_token.id) == (by_user and by_user.id) == bot.id
    found = await store.access_key_by_key("ak_1")
    assert (found and found.id) == key.id
    assert await store.verify_admin("adm_1")
    assert not await store.verify_admin("adm_\x00")
    with pytest.raises(BadRequest):
        await store.add_bot("Other", "o" * 64, user_id="u1")
    with pytest.raises(BadRequest):
        await store.add_bot("Other", "t" * 64)


async def test_a_keys_use_is_recorded(store: Store) -> None:
    """With the next traces."""
    await store.add_access_key("glasses", "ak_1")
    await store.access_key_by_key("ak_1")
    await store.write_traces([])
    key = await store.access_key_by_key("ak_1")
    assert key is not None
    assert key.last_used_at is not None
    assert key.last_used_at.timestamp() == NOW


async def test_scopes_and_what_is_valid_are_told(store: Store) -> None:
    """In one look, also for ids that are not there and for a scope with quotes in it."""
    scope = Scope(agents=frozenset({"a\"_:/'智"}), bots=frozenset({1}))
    desk = store.people_desk()
    await desk.create_key("glasses", scope)
    await desk.create_key("others", EVERYTHING)
    await desk.create_bot("Nova", user_id=None)
    told = await store.standing([1, 2, 2**63 - 1], {"a\"'智": 1, "b": 2**63 - 1})
    assert told.keys == {1: scope, 2: EVERYTHING}
    assert told.void_bots == {"a\"'智", "b"}
    await desk.revoke_key(1)
    assert (await store.standing([1, 2], {})).keys == {2: EVERYTHING}


async def test_a_trace_comes_back_as_it_was_written_and_is_updated(store: Store) -> None:
    """Every column; NUL and half a surrogate pair, which PostgreSQL refuses, are mended."""
    assert await store.write_traces([ROW]) == 0
    assert await store.trace(ROW.trace_id) == ROW
    amended = trace_row(0, outcome="completed", sdk_content="a\x00b\ud83e", events=["\x00"])
    assert await store.write_traces([amended, trace_row(1)]) == 0
    found = await store.trace(ROW.trace_id)
    assert found is not None
    assert (found.outcome, found.sdk_content, found.events) == ("completed", "ab\ufffd", [""])
    assert await store.trace_count() == 2


def incompressible(length: int) -> str:
    """A long text of which PostgreSQL's compression makes no short one."""
    return "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FA5), k=length)))


async def test_a_poisoned_row_costs_itself_and_no_other(store: Store) -> None:
    """Numbers that do not fit, a missing value; a long id is cut, for no index takes it."""
    rows = [trace_row(n) for n in range(600)]
    rows[7] = trace_row(7, sdk_chunk_count=2**63)
    rows[599] = trace_row(599, access_key_id=None)
    rows[300] = trace_row(300, message_id=incompressible(9000))
    with capture_logs() as logs:
        assert await store.write_traces(rows) == 2
    assert [log["trace_id"] for log in logs] == ["trace-7", "trace-599"]
    assert await store.trace_count() == 598


async def test_a_server_that_hangs_is_an_outage_within_the_timeout(
    postgres_url: str, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself the driver would wait for ever. Afterwards the same rows are written, once."""
    monkeypatch.setattr(engine, "COMMAND_TIMEOUT_S", 0.2)
    await upgrade(postgres_url)
    store, database = await Store.open(postgres_url), Database(postgres_url)
    assert await store.write_traces([trace_row(1)]) == 0
    backends = await backend_pids(database)
    await database.close()
    with postgres_server.paused(*backends):
        started = time.monotonic()
        with pytest.raises(StoreError):
            await store.write_traces([trace_row(1), trace_row(2)])
        assert time.monotonic() - started < 5
    await store.close()
    store = await Store.open(postgres_url)
    assert await store.write_traces([trace_row(1), trace_row(2)]) == 0
    assert await store.trace_count() == 2
    await store.close()


async def test_a_connection_that_the_server_closed_is_replaced(
    store: Store, postgres_url: str
) -> None:
    """After a restart of the server the first request is served, not the second."""
    await store.add_admin_token("adm_1")
    database = Database(postgres_url)
    async with database.engine.begin() as connection:
        query = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid != pg_backend_pid() AND datname = current_database()
        """
        await connection.execute(text(query))
    await database.close()
    assert await store.verify_admin("adm_1")


async def backend_pids(database: Database) -> list[int]:
    """The processes of the server that serve this test's database, beside the caller's own."""
    async with database.engine.connect() as connection:
        query = """
            SELECT pid FROM pg_stat_activity
            WHERE pid != pg_backend_pid() AND datname = current_database()
        """
        return list((await connection.execute(text(query))).scalars())
