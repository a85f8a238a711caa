from __future__ import annotations

from pathlib import Path

import pytest

from relay.clock import ManualClock
from relay.errors import StoreError
from relay.store.store import Store
from tests.support.store import NOW, trace_row

KEY = "ak_" + "0" * 64


async def test_a_fresh_file_is_migrated_when_it_is_opened(url: str) -> None:
    """And what was added is there at the next start."""
    store = await Store.open(url)
    bot = await store.add_bot("Nova", "t" * 64, user_id="u1")
    await store.close()
    store = await Store.open(url)
    found = [
        await store.bot_by_token("t" * 64),
        await store.bot_by_user("u1"),
        await store.bot(bot.id or 0),
    ]
    await store.close()
    assert [item and item.id for item in found] == [bot.id] * 3


async def test_a_store_that_cannot_be_opened_is_a_store_error(tmp_path: Path) -> None:
    """With nothing left open behind it."""
    with pytest.raises(StoreError, match="unable to open"):
        await Store.open(f"sqlite:///{tmp_path}/none/relay.db")


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    """It is left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one\n" * 40)
    with pytest.raises(StoreError, match="not a database"):
        await Store.open(f"sqlite:///{path}")
    assert path.read_text().startswith("not a database")


async def test_a_ping_tells_whether_the_database_answers(store: Store) -> None:
    """For `/readyz`."""
    await store.ping()


async def test_an_administrator_is_verified(store: Store) -> None:
    """By the token that was added and no other."""
    await store.add_admin_token("adm_1")
    assert await store.verify_admin("adm_1")
    assert not await store.verify_admin("adm_2")


async def test_a_bots_token_can_be_replaced(store: Store) -> None:
    """From then on only the new one is known."""
    bot = await store.add_bot("Nova", "old")
    await store.replace_bot_token(bot, "new")
    assert await store.bot_by_token("old") is None
    assert await store.bot_by_token("new") is not None


async def test_traces_are_written_counted_and_read(store: Store) -> None:
    """What the database would not take is the result."""
    rows = [trace_row(1), trace_row(2, sdk_chunk_count=2**70), trace_row(3)]
    assert await store.write_traces(rows) == 1
    assert await store.trace_count() == 2
    assert await store.trace("trace-3") == rows[2]
    assert await store.trace("trace-2") is None
    assert await store.archive.find_trace("stream-3") == rows[2]


async def test_a_keys_use_is_written_with_the_next_traces(store: Store, clock: ManualClock) -> None:
    """A request waits for no write; within a minute of the last one nothing is written."""
    await store.add_access_key("glasses", KEY)

    async def recorded() -> float | None:
        key = await store.access_key_by_key(KEY)
        assert key is not None
        return None if key.last_used_at is None else key.last_used_at.timestamp()

    assert await recorded() is None
    assert await recorded() is None
    await store.write_traces([trace_row(1)])
    assert await recorded() == NOW
    clock.advance(30)
    await store.access_key_by_key(KEY)
    await store.write_traces([trace_row(2)])
    assert await recorded() == NOW
    clock.advance(31)
    await store.access_key_by_key(KEY)
    await store.write_traces([])
    assert await recorded() == NOW + 61


async def test_a_keys_use_is_written_at_the_latest_when_the_store_closes(url: str) -> None:
    """A relay that answered one request and stopped tells of it."""
    store = await Store.open(url, ManualClock(NOW))
    await store.add_access_key("glasses", KEY)
    await store.access_key_by_key(KEY)
    await store.close()
    store = await Store.open(url)
    key = await store.access_key_by_key(KEY)
    await store.close()
    assert key is not None
    assert key.last_used_at is not None
    assert key.last_used_at.timestamp() == NOW


async def test_an_unknown_key_is_none(store: Store) -> None:
    """Nothing is recorded for it."""
    assert await store.access_key_by_key("ak_none") is None
    await store.write_traces([])


def contents(folder: Path) -> bytes:
    """Everything that lies in a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_no_plain_token_is_in_the_database_file(url: str, tmp_path: Path) -> None:
    """Of all kinds, in the file and in its log."""
    secrets = ["a1" * 32, "ak_" + "b2" * 32, "adm_" + "c3" * 32]
    store = await Store.open(url)
    await store.add_bot("Nova", secrets[0])
    await store.add_access_key("glasses", secrets[1])
    await store.add_admin_token(secrets[2])
    files = contents(tmp_path)
    await store.close()
    assert b"Nova" in files
    for secret in secrets:
        assert secret.encode() not in files
        assert secret[3:40].encode() not in files
