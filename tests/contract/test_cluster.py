"""`Cluster`, and the other ports where nodes share them: what every such broker must hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Protocol

import pytest
from msgspec import structs

from relay.broker.base import Broker, Letter, ReadReport, settle
from relay.broker.redis import RedisOptions, open_redis
from relay.errors import Fenced, UnknownStream
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from tests.support.cluster import MemoryNodes
from tests.support.node import META, NOW
from tests.support.redis import RedisServer, new_prefix
from tests.support.wire import Wire

TIMEOUT_S = 10
NODE_TTL_S = 0.4
"""How soon a node that is cut off counts as gone."""

STREAM = META.stream_id
CHUNK = Entry(1, EntryKind.CHUNK, NOW, "a", 0)
END = Entry(2, EntryKind.END, NOW, total_chunks=1, outcome=Outcome.COMPLETED)
BOT = 1


class Nodes(Protocol):
    """Several nodes that share a broker."""

    async def node(self, name: str) -> Broker:
        """Start a node."""
        ...

    def kill(self, name: str) -> None:
        """Cut a node off, without a goodbye."""
        ...


class Fakes:
    """The nodes that the node's own tests use: they must hold what Redis holds."""

    def __init__(self) -> None:
        self._shared = MemoryNodes()

    async def node(self, name: str) -> Broker:
        node = self._shared.node(name)
        return Broker(node, node, node, node)

    def kill(self, name: str) -> None:
        self._shared.kill(name)


class OnRedis:
    """Nodes that reach Redis over a wire of their own."""

    def __init__(self, server: RedisServer, stack: AsyncExitStack) -> None:
        self._server = server
        self._stack = stack
        self._options = RedisOptions(prefix=new_prefix(), node_ttl_s=NODE_TTL_S)
        self._wires: dict[str, Wire] = {}

    async def node(self, name: str) -> Broker:
        wire = await self._stack.enter_async_context(Wire(self._server.port))
        self._wires[name] = wire
        opened = open_redis(wire.url, self._options)
        return (await self._stack.enter_async_context(opened)).ports

    def kill(self, name: str) -> None:
        self._wires[name].kill()


@pytest.fixture(params=["fakes", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[Nodes]:
    """Nodes that share a broker of the test's own."""
    if request.param == "fakes":
        yield Fakes()
        return
    async with AsyncExitStack() as stack:
        yield OnRedis(request.getfixturevalue("redis_server"), stack)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that a broker may take a moment for."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await is_so():  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.01)


class News:
    """What a node is told."""

    def __init__(self, broker: Broker) -> None:
        self.reported: list[str] = []
        self.claimed: list[str] = []
        broker.cluster.on_news(reported=self.reported.append, claimed=self.claimed.append)


async def append(broker: Broker, fence: int, *entries: Entry) -> None:
    """Write to the stream of these tests."""
    pending = broker.log.append(STREAM, fence, entries[0].offset, entries, ())
    if pending is not None:
        await pending


async def done(pending: Awaitable[None] | None) -> None:
    """Wait for a call that returns nothing."""
    if pending is not None:
        await pending


async def orphans(broker: Broker) -> Sequence[str]:
    """Take what nodes that are gone have left behind."""
    return await settle(broker.cluster.orphans(10))


async def test_nodes_are_not_alone_and_have_names_of_their_own(nodes: Nodes) -> None:
    """A name is no other node's."""
    a, b = await nodes.node("a"), await nodes.node("b")
    assert not a.cluster.alone
    assert a.cluster.node_id != b.cluster.node_id


async def test_what_one_node_appends_wakes_a_reader_on_another(nodes: Nodes) -> None:
    """And the reader finds it: where the bot is and where the device is need not be one node."""
    a, b = await nodes.node("a"), await nodes.node("b")
    made = await settle(a.log.create(META))
    await settle(b.log.describe(STREAM))
    woken = asyncio.Event()
    b.log.watch(STREAM, woken.set)
    for entry in (CHUNK, END):
        woken.clear()
        await append(a, made.fence, entry)
        await asyncio.wait_for(woken.wait(), TIMEOUT_S)
        assert list(await settle(b.log.read(STREAM, entry.offset - 1, 10))) == [entry]


async def test_a_log_that_was_made_here_and_claimed_elsewhere_wakes_its_reader(
    nodes: Nodes,
) -> None:
    """A device asks here, its bot is there: every entry wakes, though this node appends none."""
    a, b = await nodes.node("a"), await nodes.node("b")
    News(a)
    await settle(a.log.create(META))
    woken = asyncio.Event()
    a.log.watch(STREAM, woken.set)
    claimed = await settle(b.log.claim(STREAM))
    for entry in (CHUNK, END):
        await append(b, claimed.fence, entry)
        async with asyncio.timeout(TIMEOUT_S):
            while not list(await settle(a.log.read(STREAM, entry.offset - 1, 10))):
                await woken.wait()
                woken.clear()


async def test_a_drop_wakes_readers_on_other_nodes(nodes: Nodes) -> None:
    """They learn that nothing more will come."""
    a, b = await nodes.node("a"), await nodes.node("b")
    made = await settle(a.log.create(META))
    await append(a, made.fence, CHUNK)
    await settle(b.log.describe(STREAM))
    woken = asyncio.Event()
    b.log.watch(STREAM, woken.set)
    await done(a.log.drop(STREAM))
    await asyncio.wait_for(woken.wait(), TIMEOUT_S)
    with pytest.raises(UnknownStream):
        await settle(b.log.read(STREAM, 1, 10))


@pytest.mark.parametrize("is_settled", [False, True])
async def test_a_claim_by_another_node_is_told_to_the_owner(
    nodes: Nodes, *, is_settled: bool
) -> None:
    """And its writes are refused, whether it has heard of it or not.

    Also where its trace is written: else it would forget the log that another node keeps.
    """
    a, b = await nodes.node("a"), await nodes.node("b")
    news, others = News(a), News(b)
    made = await settle(a.log.create(META))
    if is_settled:
        await done(a.cluster.settled(STREAM))
    assert (await settle(b.log.claim(STREAM))).fence == made.fence + 1

    async def is_told() -> bool:
        return news.claimed == [STREAM]

    await until(is_told)
    with pytest.raises(Fenced):
        await append(a, made.fence, CHUNK)
    assert others.claimed == []


async def test_an_owner_that_claims_again_is_told_nothing(nodes: Nodes) -> None:
    """It knows: it has rebuilt itself after a write that failed."""
    a, b = await nodes.node("a"), await nodes.node("b")
    news = News(a)
    News(b)
    await settle(a.log.create(META))
    await settle(a.log.claim(STREAM))
    # Hints come in order, so this one comes behind that of the claim, if there was one.
    await settle(b.log.claim(STREAM))

    async def is_told() -> bool:
        return bool(news.claimed)

    await until(is_told)
    assert news.claimed == [STREAM]


async def test_the_streams_of_a_bot_are_those_that_have_not_ended(nodes: Nodes) -> None:
    """On any node; another bot's are not among them."""
    a, b = await nodes.node("a"), await nodes.node("b")
    fences: dict[str, int] = {}
    for stream_id, bot_id in (("s", BOT), ("other", 2), ("unbound", None)):
        made = await settle(a.log.create(replace(META, stream_id=stream_id, bot_id=bot_id)))
        fences[stream_id] = made.fence
    assert list(await settle(b.cluster.streams_of(BOT))) == [STREAM]
    await append(a, fences[STREAM], CHUNK, END)
    assert list(await settle(b.cluster.streams_of(BOT))) == []
    assert list(await settle(b.cluster.streams_of(2))) == ["other"]


async def test_the_newest_stream_of_a_conversation_is_known_to_every_node(nodes: Nodes) -> None:
    """Of those that were opened with the same key, wherever they were."""
    a, b = await nodes.node("a"), await nodes.node("b")
    assert await settle(b.cluster.newest(META.access_key_id, "会话 1")) is None
    for node, stream_id in ((a, "first"), (b, "second")):
        meta = replace(META, stream_id=stream_id, conversation_id="会话 1")
        await settle(node.log.create(meta))
        for asking in (a, b):
            assert await settle(asking.cluster.newest(META.access_key_id, "会话 1")) == stream_id
    assert await settle(a.cluster.newest(META.access_key_id + 1, "会话 1")) is None
    assert await settle(a.cluster.newest(META.access_key_id, "会话")) is None


async def test_a_stream_that_was_dropped_is_nobodys(nodes: Nodes) -> None:
    """Neither its bot's nor an orphan."""
    a, b = await nodes.node("a"), await nodes.node("b")
    News(a)
    await settle(a.log.create(META))
    await done(a.log.drop(STREAM))
    assert list(await settle(b.cluster.streams_of(BOT))) == []


async def test_a_node_that_is_gone_leaves_its_streams_to_one_other(nodes: Nodes) -> None:
    """Ended ones too, as long as their trace is not written; each is handed out once."""
    a, b, c = [await nodes.node(name) for name in "abc"]
    fences: dict[str, int] = {}
    for stream_id in ("open", "ended", "settled"):
        made = await settle(a.log.create(replace(META, stream_id=stream_id)))
        fences[stream_id] = made.fence
    for stream_id in ("ended", "settled"):
        pending = a.log.append(
            stream_id, fences[stream_id], 1, [structs.replace(END, offset=1)], ()
        )
        await done(pending)
    await done(a.cluster.settled("settled"))
    assert await orphans(b) == []
    nodes.kill("a")
    found: dict[str, str] = {}

    async def all_are_found() -> bool:
        for name, node in (("b", b), ("c", c)):
            for stream_id in await orphans(node):
                assert stream_id not in found
                found[stream_id] = name
        return len(found) == 2

    await until(all_are_found)
    assert set(found) == {"open", "ended"}
    for node in (b, c):
        assert list(await orphans(node)) == []


async def test_what_a_dead_node_took_over_is_left_behind_again(nodes: Nodes) -> None:
    """A stream survives any number of nodes, claimed or not."""
    a, b, c = [await nodes.node(name) for name in "abc"]
    for stream_id in ("claimed", "handed"):
        await settle(a.log.create(replace(META, stream_id=stream_id)))
    nodes.kill("a")
    taken: set[str] = set()

    async def all_are_taken() -> bool:
        taken.update(await orphans(b))
        return taken == {"claimed", "handed"}

    await until(all_are_taken)
    await settle(b.log.claim("claimed"))
    nodes.kill("b")
    last: set[str] = set()

    async def all_are_left() -> bool:
        last.update(await orphans(c))
        return last == {"claimed", "handed"}

    await until(all_are_left)


async def test_a_stream_that_was_claimed_is_not_left_by_its_former_owner(nodes: Nodes) -> None:
    """The node that has it now lives."""
    a, b, c = [await nodes.node(name) for name in "abc"]
    News(a)
    for stream_id in ("moved", "left"):
        await settle(a.log.create(replace(META, stream_id=stream_id)))
    await settle(b.log.claim("moved"))
    nodes.kill("a")
    taken: list[str] = []

    async def some_are_taken() -> bool:
        taken.extend(await orphans(c))
        return bool(taken)

    await until(some_are_taken)
    taken.extend(await orphans(c))
    assert taken == ["left"]


async def test_a_node_that_leaves_need_not_be_waited_for(nodes: Nodes) -> None:
    """Its streams are orphans when `leave` returns."""
    a, b = await nodes.node("a"), await nodes.node("b")
    await settle(a.log.create(META))
    await done(a.cluster.leave())
    assert list(await orphans(b)) == [STREAM]


async def test_reports_of_other_nodes_reach_the_owner(nodes: Nodes) -> None:
    """The newest of each node counts; a node that is gone has no readers."""
    a, b = await nodes.node("a"), await nodes.node("b")
    news = News(a)
    await settle(a.log.create(META))
    assert list(await settle(a.cluster.reports(STREAM))) == []
    first = ReadReport(b.cluster.node_id, 1, True, False, ())
    second = replace(first, readers=2, read_to_end=True, delivered_at=(NOW + 0.1, NOW + 0.25))
    await done(b.cluster.report(STREAM, first))
    await done(b.cluster.report(STREAM, second))

    async def is_told() -> bool:
        return news.reported[:1] == [STREAM]

    await until(is_told)
    assert list(await settle(a.cluster.reports(STREAM))) == [second]
    nodes.kill("b")

    async def has_no_readers() -> bool:
        reports = await settle(a.cluster.reports(STREAM))
        return list(reports) == [replace(second, readers=0)]

    await until(has_no_readers)


async def test_a_listener_on_another_node_replaces_the_older_one(nodes: Nodes) -> None:
    """The older node is told once, and letters go to the newer one only."""
    a, b = await nodes.node("a"), await nodes.node("b")
    replaced: list[str] = []
    letters: list[str] = []

    def replace_a() -> None:
        replaced.append("a")

    def replace_b() -> None:
        replaced.append("b")

    older = await settle(a.mailbox.listen(BOT, lambda _: letters.append("a"), replace_a))
    newer = await settle(b.mailbox.listen(BOT, lambda _: letters.append("b"), replace_b))
    assert newer > older

    async def is_told() -> bool:
        return bool(replaced)

    await until(is_told)
    assert await settle(a.mailbox.post(Letter(BOT, STREAM, b"{}"))) is True

    async def is_delivered() -> bool:
        return bool(letters)

    await until(is_delivered)
    await done(a.mailbox.unlisten(BOT, older))
    assert await settle(b.presence.is_online(BOT))
    assert (replaced, letters) == (["a"], ["b"])


async def test_presence_is_seen_from_every_node(nodes: Nodes) -> None:
    """Where a bot is connected is nobody's concern."""
    a, b = await nodes.node("a"), await nodes.node("b")
    await settle(a.mailbox.listen(BOT, lambda _: None, lambda: None))
    assert await settle(b.presence.is_online(BOT))
    assert await settle(b.presence.online()) == frozenset({BOT})
