"""Several nodes that share a broker, a clock and a trace store, and what tests ask of them."""

from __future__ import annotations

from relay.clock import ManualClock
from relay.wire.bot import Command
from tests.support.cluster import MemoryNodes
from tests.support.node import NOW, Bot, Store, Timers, World

TEXTS = ["one ", "two ", "three ", "four"]
WHOLE = "".join(TEXTS)


class Nodes:
    """Nodes that share a broker, a clock and a trace store."""

    def __init__(self) -> None:
        self.shared = MemoryNodes()
        self.timers = Timers(ManualClock(NOW))
        self.store = Store()

    def start(self, node_id: str) -> World:
        broker = self.shared.node(node_id)
        return World(broker, broker, store=self.store, cluster=broker, timers=self.timers)


async def ask(device_node: World) -> str:
    """Let a device ask; returns its stream."""
    stream_id = (await device_node.ask()).stream_id
    await device_node.advance(0.0)
    return stream_id


def open_at(bot: Bot) -> list[str]:
    """The streams that a bot was told are open."""
    return [state.stream_id for state in bot.connected.streams]


def asked(bot: Bot) -> list[str]:
    """The streams that a bot was asked for."""
    return [command.stream_id for command in bot.heard(Command)]


async def reader_on(node: World, stream: str) -> str:
    """Read a stream from the start on this node."""
    return await (await node.read(stream)).read_all()
