"""Several nodes in one process that share a broker, and any of which may die.

    cluster = MemoryNodes()
    a, b = cluster.node("a"), cluster.node("b")

Each node has its own `log`, `mailbox` and `cluster`, which answer later, as a broker across a
network does. `kill` makes all that a node still tries fail, and its streams orphans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from relay.broker.base import (
    NO_NOTES,
    Letter,
    LogSnapshot,
    LogState,
    Notes,
    ReadReport,
    StreamMeta,
)
from relay.broker.memory import MemoryMailbox
from relay.errors import BrokerUnavailable, UnknownStream
from relay.protocol.events import Entry, HeldChunk
from tests.support.brokers import LogOver


@dataclass
class MemoryNodes:
    """What the nodes share."""

    log: LogOver = field(default_factory=LogOver)
    mailbox: MemoryMailbox = field(default_factory=MemoryMailbox)
    owners: dict[str, str] = field(default_factory=dict)
    """Which node owns a stream."""
    settled: set[str] = field(default_factory=set)
    """Streams that nobody has to take care of, though their owner may keep them."""
    bots: dict[str, int | None] = field(default_factory=dict)
    newest: dict[tuple[int, str], str] = field(default_factory=dict)
    reported: dict[str, dict[str, ReadReport]] = field(default_factory=dict)
    listeners: dict[int, tuple[str, Callable[[], None]]] = field(default_factory=dict)
    reporters: dict[str, Callable[[str], None]] = field(default_factory=dict)
    claimers: dict[str, Callable[[str], None]] = field(default_factory=dict)
    deaf: bool = False
    """Whether all hints are lost."""
    unheard: list[Callable[[], None]] = field(default_factory=list)
    """Who has not been told that a bot is at another node by now."""
    lossy: bool = False
    """Whether all letters are lost behind the posting."""
    forgotten: bool = False
    """Whether the time of nodes that are gone is over, so that their bots are offline."""
    last_words: str = ""
    """This node dies with its next append, which is written."""
    gone: set[str] = field(default_factory=set)

    def node(self, node_id: str) -> NodeBroker:
        """Return the ports of one node."""
        return NodeBroker(self, node_id)

    def refresh(self) -> None:
        """Let each node say whom it listens for, and so hear of hints that were lost."""
        unheard, self.unheard = self.unheard, []
        for told in unheard:
            told()

    def lose_everything(self) -> None:
        """Have nothing that was stored, and go on: as a Redis that was emptied under its nodes."""
        inner = self.log.inner  # nobody is told of it
        for stream_id in list(inner._logs):  # noqa: SLF001 - no log does it by itself
            inner.drop(stream_id)
        for lost in (self.owners, self.settled, self.bots, self.newest, self.reported):
            lost.clear()

    def kill(self, node_id: str) -> None:
        """Let nothing of this node through any more."""
        self.gone.add(node_id)


class NodeBroker:
    """`StreamLog`, `CommandMailbox`, `Presence` and `Cluster` of one node."""

    def __init__(self, shared: MemoryNodes, node_id: str) -> None:
        self._shared = shared
        self._node_id = node_id

    durability = "memory"
    alone = False

    @property
    def node_id(self) -> str:
        return self._node_id

    async def _travel(self) -> None:
        await asyncio.sleep(0)
        if self._node_id in self._shared.gone:
            raise BrokerUnavailable("this node is cut off")

    # --- log ------------------------------------------------------------------------------

    async def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        await self._travel()
        made = self._shared.log.create(meta, notes)
        self._shared.owners[meta.stream_id] = self._node_id
        self._shared.bots[meta.stream_id] = meta.bot_id
        self._shared.newest[meta.access_key_id, meta.conversation_id] = meta.stream_id
        return made

    async def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        await self._travel()
        claimed = self._shared.log.claim(stream_id, epoch)
        owner = self._shared.owners.get(stream_id, self._node_id)
        self._shared.owners[stream_id] = self._node_id
        self._shared.settled.discard(stream_id)
        if owner != self._node_id and owner not in self._shared.gone and not self._shared.deaf:
            self._shared.claimers[owner](stream_id)
        return claimed

    async def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        await self._travel()
        self._shared.log.append(stream_id, fence, offset, entries, held, notes)
        if self._shared.last_words == self._node_id:
            self._shared.kill(self._node_id)
        await self._travel()

    async def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Sequence[Entry]:
        await self._travel()
        return self._shared.log.read(stream_id, after, limit, epoch)

    async def describe(self, stream_id: str) -> LogState:
        await self._travel()
        return self._shared.log.describe(stream_id)

    def watch(self, stream_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._shared.log.watch(stream_id, wake)

    async def drop(self, stream_id: str) -> None:
        await self._travel()
        self._shared.log.drop(stream_id)

    # --- mailbox and presence -----------------------------------------------------------------

    async def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> int:
        await self._travel()
        older = self._shared.listeners.get(bot_id)
        self._shared.listeners[bot_id] = (self._node_id, replaced)
        fence = self._shared.mailbox.listen(bot_id, partial(self._deliver, deliver), replaced)
        if older is not None and older[0] not in {self._node_id, *self._shared.gone}:
            if self._shared.deaf:
                self._shared.unheard.append(older[1])
            else:
                older[1]()
        return fence

    def _deliver(self, deliver: Callable[[Letter], None], letter: Letter) -> None:
        if self._node_id not in self._shared.gone and not self._shared.lossy:
            deliver(letter)

    async def unlisten(self, bot_id: int, fence: int) -> None:
        await self._travel()
        self._shared.mailbox.unlisten(bot_id, fence)

    async def post(self, letter: Letter) -> bool:
        await self._travel()
        node_id, _ = self._shared.listeners.get(letter.bot_id, ("", None))
        if self._shared.forgotten and node_id in self._shared.gone:
            return False
        return self._shared.mailbox.post(letter)

    async def is_online(self, bot_id: int) -> bool:
        await self._travel()
        return self._shared.mailbox.is_online(bot_id)

    async def online(self) -> frozenset[int]:
        await self._travel()
        return self._shared.mailbox.online()

    # --- cluster ------------------------------------------------------------------------------

    async def streams_of(self, bot_id: int) -> Sequence[str]:
        await self._travel()
        return [
            stream_id
            for stream_id, bot in self._shared.bots.items()
            if bot == bot_id and not self._ended(stream_id)
        ]

    def _ended(self, stream_id: str) -> bool:
        try:
            return self._shared.log.describe(stream_id).ended
        except UnknownStream:
            return True

    async def newest(self, access_key_id: int, conversation_id: str) -> str | None:
        await self._travel()
        return self._shared.newest.get((access_key_id, conversation_id))

    async def orphans(self, limit: int) -> Sequence[str]:
        await self._travel()
        gone = self._shared.gone
        settled = self._shared.settled
        left = [key for key, owner in self._shared.owners.items() if owner in gone]
        taken = [key for key in left if key not in settled][:limit]
        for stream_id in taken:
            self._shared.owners[stream_id] = self._node_id
        return taken

    async def settled(self, stream_id: str) -> None:
        await self._travel()
        self._shared.settled.add(stream_id)

    async def report(self, stream_id: str, report: ReadReport) -> None:
        await self._travel()
        self._shared.reported.setdefault(stream_id, {})[report.node_id] = report
        owner = self._shared.owners.get(stream_id)
        if owner is not None and owner not in self._shared.gone and not self._shared.deaf:
            self._shared.reporters[owner](stream_id)

    async def reports(self, stream_id: str) -> Sequence[ReadReport]:
        await self._travel()
        return [
            replace(report, readers=0) if node in self._shared.gone else report
            for node, report in self._shared.reported.get(stream_id, {}).items()
        ]

    def on_news(self, *, reported: Callable[[str], None], claimed: Callable[[str], None]) -> None:
        self._shared.reporters[self._node_id] = reported
        self._shared.claimers[self._node_id] = claimed

    async def leave(self) -> None:
        await self._travel()
        self._shared.gone.add(self._node_id)
