from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay.errors import BadRequest, StoreError
from relay.store.dev import USER_ID, ensure_dev_tokens, tokens_file
from relay.store.store import Store


async def works(store: Store, path: Path) -> bool:
    """Whether all three tokens of the file are known to the store."""
    tokens = await ensure_dev_tokens(store, path)
    bot = await store.bot_by_token(tokens.sdk_token)
    assert bot is not None
    return (
        bot.rokid_user_id == USER_ID
        and await store.access_key_by_key(tokens.access_key) is not None
        and await store.verify_admin(tokens.admin_token)
    )


async def test_the_first_start_makes_tokens_that_work(store: Store, tmp_path: Path) -> None:
    """A bot for the user `dev-user`, an access key and an administrator's token."""
    assert await works(store, tmp_path / "dev.json")


async def test_the_second_start_uses_the_same_tokens(store: Store, tmp_path: Path) -> None:
    """A bot that was started before the relay goes on working."""
    path = tmp_path / "dev.json"
    first = await ensure_dev_tokens(store, path)
    assert await ensure_dev_tokens(store, path) == first


async def test_only_the_owner_may_read_the_file(store: Store, tmp_path: Path) -> None:
    """It holds plain tokens."""
    path = tmp_path / "dev.json"
    await ensure_dev_tokens(store, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_plain_tokens_are_not_in_a_repr(store: Store, tmp_path: Path) -> None:
    """Nothing that logs the value logs a token."""
    tokens = await ensure_dev_tokens(store, tmp_path / "dev.json")
    assert tokens.sdk_token not in repr(tokens)


async def test_a_new_database_gets_the_tokens_of_the_file(store: Store, tmp_path: Path) -> None:
    """The database was deleted to start afresh, the file was not."""
    path = tmp_path / "dev.json"
    first = await ensure_dev_tokens(store, path)
    other = await Store.open(f"sqlite:///{tmp_path}/other.db")
    try:
        assert await ensure_dev_tokens(other, path) == first
        assert await works(other, path)
    finally:
        await other.close()


async def test_a_lost_file_gives_the_bot_a_new_token(store: Store, tmp_path: Path) -> None:
    """The user `dev-user` can belong to one bot only, so it is the same bot."""
    path = tmp_path / "dev.json"
    first = await ensure_dev_tokens(store, path)
    path.unlink()
    assert await works(store, path)
    assert await store.bot_by_token(first.sdk_token) is None


async def test_a_key_that_was_revoked_is_replaced(store: Store, tmp_path: Path) -> None:
    """Nothing undoes a revocation; the next start has another key, for good."""
    path = tmp_path / "dev.json"
    first = await ensure_dev_tokens(store, path)
    await store.revoke_access_key("dev")
    second = await ensure_dev_tokens(store, path)
    assert (second.access_key != first.access_key, second.sdk_token) == (True, first.sdk_token)
    assert await works(store, path)
    assert await ensure_dev_tokens(store, path) == second


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"sdk_token": 1}', "\ud83e"])
async def test_a_file_that_holds_something_else_is_named(
    store: Store, tmp_path: Path, content: str
) -> None:
    """It is not overwritten: it may be somebody's."""
    path = tmp_path / "dev.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadRequest, match=r"dev\.json does not hold sdk_token"):
        await ensure_dev_tokens(store, path)
    assert path.read_bytes() == content.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite+aiosqlite:////data/relay.db", "/data/.relay-dev.json"),
        ("sqlite:///relay.db", ".relay-dev.json"),
        ("postgresql://h/n", ".relay-dev.json"),
    ],
)
def test_the_file_lies_beside_the_database(url: str, path: str) -> None:
    """Or here, where the database is a server's."""
    assert tokens_file(url) == Path(path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    """The server opens another one, which would know none of the tokens."""
    with pytest.raises(BadRequest, match="name a file"):
        tokens_file(url)


def test_a_url_of_no_use_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(StoreError):
        tokens_file("mysql://h/n")
