from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from relay.broker.base import Letter
from relay.broker.redis import RedisOptions, open_redis
from relay.broker.redis.keys import Keys, bucket_of_bot
from relay.broker.redis.mailbox import LETTERS_MAX, RedisMailbox
from relay.broker.redis.pipe import Reply
from relay.broker.redis.reader import Deliver, Record
from relay.broker.redis.scripts import load_scripts
from relay.errors import BrokerUnavailable
from tests.support.redis import RedisServer, new_prefix, options
from tests.support.wire import Wire

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 10
BOT = 5
BUCKET = bucket_of_bot(BOT)


def short(prefix: str | None = None) -> RedisOptions:
    """Nodes that count as gone soon."""
    return RedisOptions(prefix=prefix or new_prefix(), node_ttl_s=0.3)


def letter(number: int) -> Letter:
    """A letter to the bot of these tests."""
    return Letter(BOT, f"stream{number}", b"%d" % number)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that takes a moment."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await is_so():  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.01)


class Inbox:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.replaced = 0

    def take(self, one: Letter) -> None:
        self.letters.append(one)

    def replace(self) -> None:
        self.replaced += 1

    async def has(self, count: int) -> None:
        async def is_so() -> bool:
            return len(self.letters) >= count

        await until(is_so)
        assert len(self.letters) == count


async def test_the_bots_of_a_dead_node_are_offline_after_a_while(
    redis_server: RedisServer,
) -> None:
    """It said no farewell. Until then its letters go nowhere, and after that posting says so."""
    chosen = short()
    async with (
        Wire(redis_server.port) as wire,
        open_redis(wire.url, chosen) as dead,
        open_redis(redis_server.url, chosen) as alive,
    ):
        await dead.mailbox.listen(BOT, Inbox().take, Inbox().replace)
        assert await alive.mailbox.is_online(BOT)
        wire.kill()

        async def is_offline() -> bool:
            return not await alive.mailbox.is_online(BOT)

        await until(is_offline)
        assert await alive.mailbox.online() == frozenset()
        assert await alive.mailbox.post(letter(1)) is False


async def test_a_node_that_lives_keeps_its_bots_online(redis_server: RedisServer) -> None:
    """For many times as long as one sign of life counts."""
    async with open_redis(redis_server.url, short()) as broker:
        await broker.mailbox.listen(BOT, Inbox().take, Inbox().replace)
        for _ in range(30):
            await asyncio.sleep(0.03)
            assert await broker.mailbox.is_online(BOT)


async def test_a_redis_that_forgot_who_listens_is_told_again(own_redis: RedisServer) -> None:
    """With the same fence, so that the next connection is newer still."""
    async with open_redis(own_redis.url, short()) as broker:
        inbox = Inbox()
        for _ in range(2):
            await broker.mailbox.listen(BOT, inbox.take, inbox.replace)
        fence = await broker.mailbox.listen(BOT, inbox.take, inbox.replace)
        own_redis.command("FLUSHALL")

        async def is_online() -> bool:
            return await broker.mailbox.is_online(BOT)

        await until(is_online)
        assert await broker.mailbox.post(letter(1))
        await inbox.has(1)
        assert await broker.mailbox.listen(BOT, inbox.take, inbox.replace) == fence + 1
        assert inbox.replaced == 0


async def test_a_node_finds_out_without_a_hint_that_it_was_replaced(
    redis_server: RedisServer,
) -> None:
    """At its next sign of life; it is told once, and does not come back."""
    chosen = short()
    names = Keys(chosen.prefix, "")
    async with open_redis(redis_server.url, chosen) as broker:
        inbox = Inbox()
        fence = await broker.mailbox.listen(BOT, inbox.take, inbox.replace)
        # As another node does it, but for the hint.
        redis_server.command("HINCRBY", names.fences(BUCKET).decode(), str(BOT), "1")
        redis_server.command("HDEL", names.bots(BUCKET).decode(), str(BOT))

        async def is_told() -> bool:
            return inbox.replaced > 0

        await until(is_told)
        assert not await broker.mailbox.is_online(BOT)
        await broker.mailbox.unlisten(BOT, fence)
        assert inbox.replaced == 1


async def test_letters_that_were_read_are_gone(redis_server: RedisServer) -> None:
    """A mailbox does not fill up with old ones, and expires with its node."""
    chosen = options()
    async with open_redis(redis_server.url, chosen) as broker:
        inbox = Inbox()
        await broker.mailbox.listen(BOT, inbox.take, inbox.replace)
        for number in range(20):
            assert await broker.mailbox.post(letter(number))
        await inbox.has(20)
        assert inbox.letters == [letter(number) for number in range(20)]
        key = Keys(chosen.prefix, broker.nodes.node_id).mail(0).decode()

        async def is_empty() -> bool:
            return redis_server.command("XLEN", key) == ":0"

        await until(is_empty)
        assert int(redis_server.command("PTTL", key)[1:]) > 0


async def test_a_node_that_reads_nothing_is_not_sent_more_and_more(
    redis_server: RedisServer,
) -> None:
    """Posting says that it failed: who asks is told so, and need not wait for an answer."""
    chosen = options()
    async with (
        Wire(redis_server.port) as wire,
        open_redis(wire.url, chosen) as stuck,
        open_redis(redis_server.url, chosen) as other,
    ):
        await stuck.mailbox.listen(BOT, Inbox().take, Inbox().replace)
        wire.kill()
        posts = [other.mailbox.post(letter(number)) for number in range(LETTERS_MAX)]
        assert all(await asyncio.gather(*posts))
        with pytest.raises(BrokerUnavailable, match="full"):
            await other.mailbox.post(letter(LETTERS_MAX))


class Late:
    """Stands for shards, readers and hints; the answer to listening comes when the test says."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[Reply]] = []
        self.takers: list[Deliver] = []

    def of(self, bucket: int) -> Late:
        return self

    def group(self, bucket: int) -> int:
        return bucket

    @property
    def calls(self) -> Late:
        return self

    def run(self, *script: object) -> asyncio.Future[Reply]:
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def tell(self, *command: object) -> None:
        """Nothing is there to be told."""

    def on(self, kind: str, take: object) -> None:
        """No hints come."""

    def follow(self, bucket: int, key: bytes, after: bytes, deliver: Deliver) -> None:
        self.takers.append(deliver)


async def test_a_letter_that_overtakes_the_answer_to_listening_is_kept() -> None:
    """Both come over connections of their own. The listener gets it once it is one."""
    late = Late()
    names = Keys("p", "n")
    parts: tuple[Any, ...] = (late, names, load_scripts(), late, late)
    mailbox = RedisMailbox(*parts, node_id="n", ttl_s=60.0)
    inbox = Inbox()
    listening = asyncio.ensure_future(mailbox.listen(BOT, inbox.take, inbox.replace))
    await asyncio.sleep(0)
    fields = {b"bot": b"5", b"fence": b"3", b"stream": b"stream7", b"payload": b"7"}
    (take,) = late.takers
    take([Record(b"1-0", fields)])
    assert inbox.letters == []
    late.answers[0].set_result([3, None])
    assert await listening == 3
    assert inbox.letters == [letter(7)]
    take([Record(b"2-0", {**fields, b"fence": b"2", b"stream": b"stream8", b"payload": b"8"})])
    assert inbox.letters[1:] == [letter(8)]
    closing = asyncio.ensure_future(mailbox.close())
    await asyncio.sleep(0.1)
    late.answers[-1].set_result(1)
    await closing


async def test_a_letter_for_a_listener_that_is_none_any_more_is_not_posted(
    redis_server: RedisServer,
) -> None:
    """Another has come since it was looked up, or its time is over: posting looks again."""
    chosen = options()
    names = Keys(chosen.prefix, "")
    async with open_redis(redis_server.url, chosen) as broker:
        fence = await broker.mailbox.listen(BOT, Inbox().take, Inbox().replace)
        node = broker.nodes.node_id
        keys = (names.bots(BUCKET), names.mail(BUCKET, "other"))
        calls = broker.shards.of(BUCKET).calls
        for listener in ((fence - 1, node), (fence, "other"), (fence + 1, node)):
            args = (BOT, *listener, LETTERS_MAX, 1000, "payload", "x")
            assert await calls.run(load_scripts().post, keys, args) == [b"moved"]
        assert await calls.call("XLEN", keys[1]) == 0
        args = (BOT, fence, node, LETTERS_MAX, 1000, "payload", "x")
        assert await calls.run(load_scripts().post, keys, args) == [b"ok"]


async def test_a_replaced_listener_is_told_at_once(redis_server: RedisServer) -> None:
    """Long before its node's next sign of life."""
    chosen = RedisOptions(prefix=new_prefix(), node_ttl_s=60.0)
    async with (
        open_redis(redis_server.url, chosen) as old,
        open_redis(redis_server.url, chosen) as new,
    ):
        inbox = Inbox()
        await old.mailbox.listen(BOT, inbox.take, inbox.replace)
        await new.mailbox.listen(BOT, Inbox().take, Inbox().replace)

        async def is_told() -> bool:
            return inbox.replaced == 1

        await until(is_told)


async def test_listening_that_failed_is_no_listening(redis_server: RedisServer) -> None:
    """Whoever asked is told. If it was done after all, its time runs out."""
    async with Wire(redis_server.port) as wire, open_redis(wire.url, options()) as broker:
        wire.kill()
        with pytest.raises(BrokerUnavailable):
            await broker.mailbox.listen(BOT, Inbox().take, Inbox().replace)
        with pytest.raises(BrokerUnavailable):
            await broker.mailbox.post(letter(1))


async def test_a_node_that_ends_says_farewell_for_its_bots(redis_server: RedisServer) -> None:
    """They are offline at once."""
    chosen = options()
    async with open_redis(redis_server.url, chosen) as alive:
        async with open_redis(redis_server.url, chosen) as ending:
            for bot_id in (1, 2):
                await ending.mailbox.listen(bot_id, Inbox().take, Inbox().replace)
            assert await alive.mailbox.online() == frozenset({1, 2})
        assert await alive.mailbox.online() == frozenset()


async def test_signs_of_life_go_on_after_redis_was_away(own_redis: RedisServer) -> None:
    """Without anybody who listens anew."""
    async with open_redis(own_redis.url, short()) as broker:
        inbox = Inbox()
        await broker.mailbox.listen(BOT, inbox.take, inbox.replace)
        own_redis.kill()
        await asyncio.sleep(0.5)  # so that its time is over; it is waited for below
        own_redis.start()

        async def is_online() -> bool:
            with suppress(BrokerUnavailable):
                return await broker.mailbox.is_online(BOT)
            return False

        await until(is_online)
        assert await broker.mailbox.post(letter(1))
        await inbox.has(1)
