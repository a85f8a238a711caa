"""Connections of one bot that come, and leave, while others of it are on their way in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.broker.base import Letter
from relay.broker.memory import MemoryLog, MemoryMailbox
from relay.wire.bot import Command
from tests.support.brokers import DelayedMailbox
from tests.support.node import Bot, World, settle_down


async def test_of_two_connections_that_come_at_once_the_newer_one_stays() -> None:
    """The older one was fenced before it listened, and stops at once."""
    mailbox = DelayedMailbox(MemoryMailbox())
    world = World(MemoryLog(), mailbox)
    mailbox.released.clear()
    first = asyncio.ensure_future(world.bot())
    await settle_down()
    second = asyncio.ensure_future(world.bot())
    await settle_down()
    mailbox.released.set()
    older, newer = await asyncio.gather(first, second)
    assert older.farewells == [("fenced", False)]
    await settle_down()
    stream = (await world.ask()).stream_id
    assert [command.stream_id for command in newer.heard(Command)] == [stream]


class Overtaking(DelayedMailbox):
    """Lets the second listener go before the first, and the third once it is told to."""

    def __init__(self, inner: MemoryMailbox) -> None:
        super().__init__(inner)
        self.calls = 0
        self.third = asyncio.Event()

    async def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> int:
        """See `CommandMailbox.listen`."""
        self.calls += 1
        match self.calls:
            case 1:
                await self.released.wait()
            case 3:
                await self.third.wait()
            case _:
                pass
        return self.inner.listen(bot_id, deliver, replaced)


async def overtaken() -> tuple[Overtaking, World, asyncio.Future[Bot], Bot]:
    """A connection that listens for so long that a newer one is there before it."""
    mailbox = Overtaking(MemoryMailbox())
    world = World(MemoryLog(), mailbox)
    mailbox.released.clear()
    coming = asyncio.ensure_future(world.bot())
    await settle_down()
    newer = await world.bot()
    mailbox.released.set()
    return mailbox, world, coming, newer


async def test_a_newer_connection_that_is_overtaken_listens_again() -> None:
    """The older one's listening takes so long that it lands last: the bot must not go deaf."""
    mailbox, world, coming, newer = await overtaken()
    mailbox.third.set()
    older = await coming
    stream = (await world.ask()).stream_id
    assert [command.stream_id for command in newer.heard(Command)] == [stream]
    assert older.heard(Command) == []
    newer.link.detach()
    await settle_down()
    assert not await world.node.is_online(1)


async def test_a_connection_that_leaves_while_it_listens_again_does_not_stay() -> None:
    """It was overtaken, and left meanwhile: its bot would seem to be here for ever."""
    mailbox, world, coming, newer = await overtaken()
    await settle_down()
    assert mailbox.calls == 3
    newer.link.detach()
    await settle_down()
    mailbox.third.set()
    await coming
    await settle_down()
    assert not await world.node.is_online(1)


async def test_a_connection_that_was_fenced_before_it_listened_does_not_stay() -> None:
    """The newer one is gone by then: nobody listens for the bot."""
    mailbox = DelayedMailbox(MemoryMailbox())
    world = World(MemoryLog(), mailbox)
    mailbox.released.clear()
    coming = [asyncio.ensure_future(world.bot())]
    await settle_down()
    coming.append(asyncio.ensure_future(world.bot()))
    await settle_down()
    coming[1].cancel()
    await settle_down()
    mailbox.released.set()
    await coming[0]
    assert not await world.node.is_online(1)
