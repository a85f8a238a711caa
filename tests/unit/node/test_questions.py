"""A question: the log first, then the command."""

from __future__ import annotations

import asyncio

from relay.broker.base import Letter
from relay.broker.memory import MemoryLog, MemoryMailbox
from relay.devices.base import Ask, StreamView
from relay.errors import BrokerUnavailable, StoreError
from relay.protocol.events import Stop
from relay.protocol.status import Outcome
from relay.wire.parts import tool_call
from tests.support.brokers import DelayedMailbox, MailboxOver
from tests.support.node import KEY, World, settle_down

PHOTO = tool_call({"command": "take_photo"})
ASK = Ask("c", "agent", "user", "what now?")


async def test_the_log_is_there_when_the_bot_is_asked() -> None:
    """A bot that answers within the very call finds its stream."""
    log, found = MemoryLog(), list[int]()

    class Mailbox(MailboxOver):
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


async def test_what_is_said_to_a_user_without_a_bot_may_take_its_time() -> None:
    """The stream, which the reply is told, is open meanwhile; then it ends with these words."""
    world, said = World(), asyncio.get_running_loop().create_future()
    told: list[str] = []

    async def reply(view: StreamView) -> Stop:
        told.append(view.stream_id)
        await said
        return Stop(Outcome.UNBOUND, "why", "Show me.", PHOTO)

    view = await world.node.open_stream(ASK, bot_id=None, access_key_id=KEY, reply=reply)
    reader = await world.read(view.stream_id)
    await settle_down()
    assert (world.node.open_streams, told) == (1, [view.stream_id])
    said.set_result(None)
    await reader.read_all()
    assert (reader.end.outcome, reader.end.content, reader.end.part) == (
        Outcome.UNBOUND,
        "Show me.",
        PHOTO,
    )
    row = await world.row(view.stream_id)
    assert (row.outcome, row.sse_content, row.sdk_content) == ("unbound", "Show me.", "")


async def test_a_user_who_was_bound_leaves_a_trace_without_an_anomaly() -> None:
    """The relay has answered itself, and nothing was lost."""
    world = World()

    async def reply(_view: StreamView) -> Stop:
        return Stop(Outcome.BOUND, "bound to bot 1", "Done.")

    view = await world.node.open_stream(ASK, bot_id=None, access_key_id=KEY, reply=reply)
    reader = await world.read(view.stream_id)
    await reader.read_all()
    row = await world.row(view.stream_id)
    assert (row.status, row.outcome, row.anomaly) == ("completed", "bound", None)


async def test_a_reply_that_fails_leaves_no_device_waiting() -> None:
    """Whatever goes wrong, the stream has an end."""
    world = World()

    async def reply(_view: StreamView) -> Stop:
        raise StoreError("away")

    view = await world.node.open_stream(ASK, bot_id=None, access_key_id=KEY, reply=reply)
    reader = await world.read(view.stream_id)
    await reader.read_all()
    assert reader.end.outcome == "failed"


async def test_a_user_with_a_bot_is_not_replied_to() -> None:
    """The bot is asked, and only the bot."""
    world = World()
    await world.bot()

    async def reply(_view: StreamView) -> Stop:
        raise AssertionError

    await world.node.open_stream(ASK, bot_id=1, access_key_id=KEY, reply=reply)
    await settle_down()
    assert world.node.open_streams == 1
