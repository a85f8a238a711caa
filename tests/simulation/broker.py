"""The broker of a simulation: the memory broker, with witnesses, and far away where it is shared.

`WitnessLog` is the real `MemoryLog`; what it took is noted. `FarBroker` is one node's way to
it, which takes time, breaks, hangs, and lets a write that was given up land later after all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from relay.broker.base import NO_NOTES, LogSnapshot, LogState, Notes, StreamMeta
from relay.broker.memory import MemoryLog
from relay.errors import BrokerError, BrokerUnavailable, UnknownStream
from relay.protocol.events import Entry, HeldChunk
from tests.simulation.facts import Asked, Dropped, Granted, Ledger, Wrote
from tests.support.brokers import LogOver
from tests.support.cluster import MemoryNodes, NodeBroker

LEASE_S = 1.5
"""After so long without a sign of life a node counts as gone."""

SOCKET_TIMEOUT_S = 1.0
"""How long a node waits for a broker that it is cut off from."""


class WitnessLog(LogOver):
    """The memory broker's log. What it grants, takes and forgets is noted."""

    def __init__(self, ledger: Ledger, epochs: Callable[[], str]) -> None:
        super().__init__(MemoryLog(epochs=epochs))
        self._ledger = ledger
        self._epochs_of: dict[str, str] = {}

    def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        """See `StreamLog.create`."""
        if meta.stream_id not in self._ledger.asked:
            self._ledger.asked.add(meta.stream_id)
            question = Asked(int(meta.conversation_id), meta.access_key_id, meta.bot_id or 0)
            self._ledger.note(meta.stream_id, question)
        return self._granted(super().create(meta, notes), new=True)

    def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        """See `StreamLog.claim`."""
        return self._granted(super().claim(stream_id, epoch), new=False)

    def _granted(self, snapshot: LogSnapshot, *, new: bool) -> LogSnapshot:
        stream_id = snapshot.meta.stream_id
        self._epochs_of[stream_id] = snapshot.epoch
        self._ledger.note(stream_id, Granted(snapshot.epoch, snapshot.fence, new))
        return snapshot

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        """See `StreamLog.append`."""
        super().append(stream_id, fence, offset, entries, held, notes)
        wrote = Wrote(self._epochs_of[stream_id], fence, tuple(entries), tuple(held))
        self._ledger.note(stream_id, wrote)

    def drop(self, stream_id: str) -> None:
        """See `StreamLog.drop`."""
        super().drop(stream_id)
        self._ledger.note(stream_id, Dropped())


class Line:
    """One node's way to the broker: how it fares just now."""

    def __init__(self, random: Random, latency_s: float) -> None:
        self.random = random
        self.dead = False
        """The node is: nothing of it gets through ever again."""
        self.cut = False
        """Nothing gets through, and the node is told so after a while."""
        self.appends_fail = False
        """Half of the writes go wrong."""
        self._latency_s = latency_s
        self._last_at = 0.0
        self._flows = asyncio.Event()
        self._flows.set()

    @property
    def stalled(self) -> bool:
        """Whether everything waits, and goes on where it was once this is over."""
        return not self._flows.is_set()

    @stalled.setter
    def stalled(self, value: bool) -> None:
        if value:
            self._flows.clear()
        else:
            self._flows.set()

    async def travel(self) -> None:
        """Go one way, behind what went before. Raises `BrokerUnavailable`."""
        if self.dead:
            raise BrokerUnavailable("this node is dead")
        loop = asyncio.get_running_loop()
        if self._latency_s:
            self._last_at = max(loop.time() + self._latency_s, self._last_at + 1e-6)
            await asyncio.sleep(self._last_at - loop.time())
        else:
            await asyncio.sleep(0)
        await self._flows.wait()
        if self.cut:
            await asyncio.sleep(SOCKET_TIMEOUT_S)
        if self.cut or self.dead:
            raise BrokerUnavailable("no answer")


class FarBroker(NodeBroker):
    """`StreamLog`, `CommandMailbox`, `Presence` and `Cluster` of one node, over its line."""

    def __init__(self, shared: MemoryNodes, node_id: str, line: Line) -> None:
        super().__init__(shared, node_id)
        self._nodes = shared
        self._line = line
        self._late: set[asyncio.Task[None]] = set()

    async def _travel(self) -> None:
        await self._line.travel()

    # An answer takes its way, too, and may be lost on it.

    async def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        """See `StreamLog.create`."""
        made = await super().create(meta, notes)
        await self._travel()
        return made

    async def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        """See `StreamLog.claim`."""
        claimed = await super().claim(stream_id, epoch)
        await self._travel()
        return claimed

    async def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Sequence[Entry]:
        """See `StreamLog.read`."""
        found = await super().read(stream_id, after, limit, epoch)
        await self._travel()
        return found

    async def describe(self, stream_id: str) -> LogState:
        """See `StreamLog.describe`."""
        state = await super().describe(stream_id)
        await self._travel()
        return state

    async def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        """See `StreamLog.append`. Where writes fail: before, or after, or they land late."""
        line = self._line
        fate = line.random.choice(("", "", "before", "after", "late")) if line.appends_fail else ""

        async def write() -> None:
            await super(FarBroker, self).append(stream_id, fence, offset, entries, held, notes)

        if fate == "before":
            await self._travel()
        elif fate == "late":
            task = asyncio.create_task(self._land(write, line.random.choice((0.01, 0.4, 2.0))))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            await write()
        if fate:
            raise BrokerUnavailable("no answer to the append")

    async def _land(self, write: Callable[[], object], after_s: float) -> None:
        await asyncio.sleep(after_s)
        with suppress(BrokerError, UnknownStream):
            pending = write()
            assert asyncio.iscoroutine(pending)
            await pending
