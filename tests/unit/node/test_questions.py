"""A question: the log first, then the command."""

from __future__ import annotations

from relay.broker.base import Letter
from relay.broker.memory import MemoryLog, MemoryMailbox
from relay.errors import BrokerUnavailable
from tests.support.brokers import DelayedMailbox
from tests.support.node import World


async def test_the_log_is_there_when_the_bot_is_asked() -> None:
    """A bot that answers within the very call finds its stream."""
    log, found = MemoryLog(), list[int]()

    class Mailbox(MemoryMailbox):
        def post(self, letter: Letter) -> bool:
            found.append(log.describe(letter.stream_id).next_offset)
            return super().post(letter)

    world = World(log, Mailbox())
    await world.bot()
    await world.ask()
    assert found == [1]


async def test_a_mailbox_that_is_away_is_an_honest_end() -> None:
    """Nobody knows whether the bot was asked; the device is not left waiting."""

    class Away(DelayedMailbox):
        async def post(self, letter: Letter) -> bool:
            raise BrokerUnavailable("away")

    world = World(mailbox=Away(MemoryMailbox()))
    reader = await world.read((await world.ask()).stream_id)
    await reader.read_all()
    assert reader.end.outcome == "lost"
