"""Who somebody is, as the store knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from relay.admin.people import Scope
from relay.app import open_relay
from relay.clock import ManualClock
from relay.directory import StoreDirectory
from relay.node.revocations import Revocations
from relay.store.models import AccessKey, Bot
from relay.store.store import Store
from relay.web.auth import BotIdentity, KeyIdentity
from tests.support.relay_app import (
    KEY,
    TOKEN,
    client,
    furnish,
    settings,
)
from tests.unit.web.fakes import QUESTION, Cable, running


async def test_credentials_are_those_of_the_store(tmp_path: Path) -> None:
    """Unknown ones are refused on every way in."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with client(port) as http:
            refused = await http.post(
                "/sse/rokid", json=QUESTION, headers={"Authorization": f"Bearer {TOKEN}"}
            )
            assert refused.headers["Relay-Error"] == "unauthorized"
        url = f"ws://127.0.0.1:{port}/cable?sdk_token={KEY}"
        async with connect(url, proxy=None) as socket:
            assert (await Cable(socket).frame())["reason"] == "unauthorized"


@dataclass
class Office:
    """A database, the relay that is looked at, and another one on the same file."""

    directory: StoreDirectory
    store: Store
    elsewhere: Store
    clock: ManualClock
    revocations: Revocations
    asked: list[str]

    async def known_key(self, key: str) -> KeyIdentity:
        """Look a key up that is there."""
        found = await self.directory.access_key(key)
        assert found is not None
        return found

    async def known_bot(self) -> BotIdentity:
        """Look the user's bot up."""
        found = await self.directory.bot_by_user("U1")
        assert found is not None
        return found


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server nothing tells what others have written."""
    monkeypatch.setattr(Store, "version", ())


@pytest.fixture
async def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    """With a key and a bot."""
    clock, url = ManualClock(1_772_157_600.0), f"sqlite:///{tmp_path}/relay.db"
    store, elsewhere = await Store.open(url, clock), await Store.open(url, clock)
    await store.add_access_key("glasses", KEY)
    await store.add_bot("one", TOKEN, user_id="U1")
    directory = StoreDirectory(store, for_s=2.0, now=clock.now)
    revocations = Revocations(store, [directory], every_s=2.0, now=clock.now)
    office = Office(directory, store, elsewhere, clock, revocations, [])
    by_key, by_user, by_token = store.access_key_by_key, store.bot_by_user, store.bot_by_token

    async def counted_by_key(_store: Store, key: str) -> AccessKey | None:
        office.asked.append("key")
        return await by_key(key)

    async def counted_by_user(_store: Store, user_id: str) -> Bot | None:
        office.asked.append("user")
        return await by_user(user_id)

    async def counted_by_token(_store: Store, token: str) -> Bot | None:
        office.asked.append("token")
        return await by_token(token)

    monkeypatch.setattr(Store, "access_key_by_key", counted_by_key)
    monkeypatch.setattr(Store, "bot_by_token", counted_by_token)
    monkeypatch.setattr(Store, "bot_by_user", counted_by_user)
    yield office
    await elsewhere.close()
    await store.close()


async def test_many_asks_are_one_look_at_the_database(office: Office) -> None:
    """At the key, the user's bot and the token; nothing that is kept is a secret itself."""
    for _ in range(50):
        key = await office.directory.access_key(KEY)
        bot = await office.directory.bot_by_user("U1")
        assert (key and key.name, bot and bot.name) == ("glasses", "one")
        assert await office.directory.bot_by_token(TOKEN) == bot
    assert office.asked == ["key", "user", "token"]
    assert KEY not in repr(vars_of(office.directory))
    assert TOKEN not in repr(vars_of(office.directory))


def vars_of(directory: StoreDirectory) -> list[object]:
    """What a directory holds, as far as it is its own."""
    kept = directory._keys, directory._bots, directory._tokens  # noqa: SLF001 - nobody else may
    return [one._entries for one in kept]  # noqa: SLF001 - as above


async def test_a_key_that_is_revoked_here_is_refused_at_once(office: Office) -> None:
    """Whichever door of the store it was: that of the page, that of the command line."""
    desk = office.store.people_desk()
    key = await office.known_key(KEY)
    await desk.revoke_key(key.key_id)
    assert await office.directory.access_key(KEY) is None

    second = await desk.create_key("second", Scope())
    assert await office.directory.access_key(second.secret)
    await office.store.revoke_access_key("second")
    assert await office.directory.access_key(second.secret) is None


async def test_a_key_that_is_replaced_or_narrowed_here_is_so_at_once(office: Office) -> None:
    """The old one opens nothing, and the new one what it may."""
    desk = office.store.people_desk()
    key = await office.known_key(KEY)
    made = await desk.rotate_key(key.key_id)
    assert await office.directory.access_key(KEY) is None
    assert await office.directory.access_key(made.secret)
    narrow = Scope(users=frozenset({"U1"}))
    await desk.rescope_key(key.key_id, narrow)
    key = await office.known_key(made.secret)
    assert key.scope == narrow


async def test_a_user_who_is_parted_from_a_bot_here_has_none_at_once(office: Office) -> None:
    """And one who is bound has one at once, whoever bound him."""
    bot = await office.known_bot()
    await office.store.binding_desk(60).unbind(bot.bot_id)
    assert await office.directory.bot_by_user("U1") is None
    made = await office.elsewhere.binding_desk(60).create_binding(bot.bot_id)
    code = made.secret.replace("-", "")
    await office.elsewhere.binding_desk(60).redeem(code, user_id="U1", device_id="d")
    assert await office.directory.bot_by_user("U1") == bot


async def test_a_key_that_is_revoked_elsewhere_goes_with_the_next_look(
    office: Office, unseen: None
) -> None:
    """The same look that ends its streams, so nobody whose stream has ended opens another one."""
    assert await office.directory.access_key(KEY)
    await office.elsewhere.revoke_access_key("glasses")
    await office.revocations.check()
    assert await office.directory.access_key(KEY) is None


async def test_a_token_that_is_replaced_here_opens_nothing_more(office: Office) -> None:
    """Though it was remembered; the new one does at once."""
    bot = await office.directory.bot_by_token(TOKEN)
    assert bot is not None
    found = await office.store.bot(bot.bot_id)
    assert found is not None
    await office.store.replace_bot_token(found, "bt_new")
    assert await office.directory.bot_by_token(TOKEN) is None
    renewed = await office.directory.bot_by_token("bt_new")
    assert renewed is not None
    assert renewed.credential != bot.credential


async def test_a_token_that_is_replaced_elsewhere_goes_with_the_next_look(
    office: Office, unseen: None
) -> None:
    """The same look that ends its sockets. One that is as it was stays remembered."""
    bot = await office.directory.bot_by_token(TOKEN)
    assert bot is not None
    await office.revocations.check()
    assert await office.directory.bot_by_token(TOKEN) == bot
    assert office.asked == ["token"]
    found = await office.elsewhere.bot(bot.bot_id)
    assert found is not None
    await office.elsewhere.replace_bot_token(found, "bt_new")
    await office.revocations.check()
    assert await office.directory.bot_by_token(TOKEN) is None


async def test_a_key_that_is_narrowed_elsewhere_is_so_with_the_next_look(
    office: Office, unseen: None
) -> None:
    """One that is as it was stays remembered."""
    await office.known_key(KEY)
    await office.revocations.check()
    await office.known_key(KEY)
    assert office.asked == ["key"]
    await office.elsewhere.rescope_access_key("glasses", Scope(users=frozenset({"U1"})))
    await office.revocations.check()
    key = await office.known_key(KEY)
    assert key.scope == Scope(users=frozenset({"U1"}))


async def test_what_is_changed_elsewhere_is_believed_for_its_time(
    office: Office, unseen: None
) -> None:
    """A replaced key and a user who was parted from his bot: two seconds, and no look is needed."""
    assert await office.directory.access_key(KEY)
    bot = await office.known_bot()
    await office.elsewhere.rotate_access_key("glasses", "ak_new")
    await office.elsewhere.binding_desk(60).unbind(bot.bot_id)
    office.clock.advance(1.9)
    assert await office.directory.access_key(KEY)
    office.clock.advance(0.1)
    assert await office.directory.access_key(KEY) is None
    assert await office.directory.bot_by_user("U1") is None


async def test_on_sqlite_what_is_changed_elsewhere_is_so_at_once(office: Office) -> None:
    """As by the command line, on the file that a relay has open."""
    await office.known_key(KEY)
    bot = await office.known_bot()
    await office.elsewhere.rotate_access_key("glasses", "ak_new")
    assert await office.directory.access_key(KEY) is None
    await office.known_key("ak_new")
    await office.elsewhere.binding_desk(60).unbind(bot.bot_id)
    assert await office.directory.bot_by_user("U1") is None
    await office.elsewhere.revoke_access_key("glasses")
    assert await office.directory.access_key("ak_new") is None


async def test_the_use_of_a_remembered_key_is_recorded(office: Office) -> None:
    """As that of one that was looked up."""
    await office.directory.access_key(KEY)
    await office.store.write_traces([])
    for _ in range(70):
        office.clock.advance(1.0)
        await office.directory.access_key(KEY)
    await office.store.write_traces([])
    (row,) = await office.store.access_keys()
    assert row.last_used_at is not None
    assert row.last_used_at.timestamp() == office.clock.now()
    assert len(office.asked) == 36


async def test_a_bots_token_is_looked_up_each_time(office: Office) -> None:
    """So one that is revoked anywhere connects nobody from then on."""
    assert await office.directory.bot_by_token(TOKEN)
    await office.elsewhere.revoke_bot("one")
    assert await office.directory.bot_by_token(TOKEN) is None
