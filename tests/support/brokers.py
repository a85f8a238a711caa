"""The brokers that the contract suite runs on, and one that is far away.

A later broker is one more line in `BROKERS`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from relay.broker.base import (
    NO_NOTES,
    Broker,
    Letter,
    LogSnapshot,
    LogState,
    Notes,
    StreamMeta,
)
from relay.broker.memory import MemoryCluster, MemoryLog, MemoryMailbox, memory_broker
from relay.errors import BrokerUnavailable
from relay.protocol.events import Entry, HeldChunk


class LogOver:
    """The memory broker's log, for a test that changes what one of its calls does.

    It is no subclass, as the relay may be compiled: then nothing can inherit from its classes.
    """

    def __init__(self, inner: MemoryLog | None = None) -> None:
        self.inner = MemoryLog() if inner is None else inner  # an empty log is falsy

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def durability(self) -> str:
        return self.inner.durability

    def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        return self.inner.create(meta, notes)

    def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        return self.inner.claim(stream_id, epoch)

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        self.inner.append(stream_id, fence, offset, entries, held, notes)

    def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Sequence[Entry]:
        return self.inner.read(stream_id, after, limit, epoch)

    def describe(self, stream_id: str) -> LogState:
        return self.inner.describe(stream_id)

    def watch(self, stream_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self.inner.watch(stream_id, wake)

    def drop(self, stream_id: str) -> None:
        self.inner.drop(stream_id)


class MailboxOver:
    """The memory broker's mailbox, for the same: whatever is asked is answered within the call."""

    def __init__(self) -> None:
        self.inner = MemoryMailbox()

    def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> int:
        return self.inner.listen(bot_id, deliver, replaced)

    def unlisten(self, bot_id: int, fence: int) -> None:
        self.inner.unlisten(bot_id, fence)

    def post(self, letter: Letter) -> bool:
        return self.inner.post(letter)

    def is_online(self, bot_id: int) -> bool:
        return self.inner.is_online(bot_id)

    def online(self) -> frozenset[int]:
        return self.inner.online()


class DelayedLog:
    """A log across a network: every call is answered later, and an append may fail.

    While `held`, appends wait for `step`. `fail_next` says what the next append does:

    - `"before"`: the write does not happen, and nobody knows that
    - `"after"`: the write happens, and its answer is lost
    - `"late"`: the write is given up, and happens when `land` is called
    """

    def __init__(self, inner: MemoryLog) -> None:
        self.inner = inner
        self.held = False
        self.fail_next = ""
        self.claims_down = 0
        """How many claims fail from now on."""
        self.reads_down = 0
        """How many reads fail from now on."""
        self.appends: list[tuple[int, int, tuple[Entry, ...], tuple[HeldChunk, ...]]] = []
        """Fence, offset, entries and held chunks of every append that was begun."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._late: list[Callable[[], object]] = []

    @property
    def durability(self) -> str:
        return self.inner.durability

    def step(self) -> None:
        """Let the oldest append that waits go on."""
        self._waiting.popleft().set_result(None)

    def land(self) -> object:
        """Let the oldest late write happen after all."""
        return self._late.pop(0)()

    def roll_back(self, stream_id: str, entries: int) -> None:
        """Lose the newest entries, as a failover does to a replica that was behind."""
        del self.inner._log(stream_id).entries[-entries:]  # noqa: SLF001 - no log does it by itself

    async def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        await asyncio.sleep(0)
        return self.inner.create(meta, notes)

    async def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        await asyncio.sleep(0)
        if self.claims_down:
            self.claims_down -= 1
            raise BrokerUnavailable("the broker does not answer")
        return self.inner.claim(stream_id, epoch)

    async def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        self.appends.append((fence, offset, tuple(entries), tuple(held)))
        if self.held:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(gate)
            await gate
        else:
            await asyncio.sleep(0)

        def write() -> None:
            self.inner.append(stream_id, fence, offset, entries, held, notes)

        failure, self.fail_next = self.fail_next, ""
        if failure == "late":
            self._late.append(write)
        elif failure != "before":
            write()
        if failure:
            raise BrokerUnavailable("no answer to the append")
        await asyncio.sleep(0)

    async def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Sequence[Entry]:
        await asyncio.sleep(0)
        if self.reads_down:
            self.reads_down -= 1
            raise BrokerUnavailable("the broker does not answer")
        entries = self.inner.read(stream_id, after, limit, epoch)
        await asyncio.sleep(0)  # the answer takes its time too
        return entries

    async def describe(self, stream_id: str) -> LogState:
        await asyncio.sleep(0)
        return self.inner.describe(stream_id)

    def watch(self, stream_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self.inner.watch(stream_id, wake)

    async def drop(self, stream_id: str) -> None:
        await asyncio.sleep(0)
        self.inner.drop(stream_id)


class DelayedMailbox:
    """A mailbox across a network. While `held`, listening waits for `release`."""

    def __init__(self, inner: MemoryMailbox) -> None:
        self.inner = inner
        self.down = False
        self.released = asyncio.Event()
        self.released.set()

    async def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> int:
        await self.released.wait()
        await asyncio.sleep(0)
        if self.down:
            raise BrokerUnavailable("the mailbox does not answer")
        return self.inner.listen(bot_id, deliver, replaced)

    async def unlisten(self, bot_id: int, fence: int) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise BrokerUnavailable("the mailbox does not answer")
        self.inner.unlisten(bot_id, fence)

    async def post(self, letter: Letter) -> bool:
        await asyncio.sleep(0)
        return self.inner.post(letter)

    async def is_online(self, bot_id: int) -> bool:
        await asyncio.sleep(0)
        return self.inner.is_online(bot_id)

    async def online(self) -> frozenset[int]:
        await asyncio.sleep(0)
        return self.inner.online()


@asynccontextmanager
async def memory() -> AsyncIterator[Broker]:
    """The broker of a single process."""
    yield memory_broker()


@asynccontextmanager
async def delayed() -> AsyncIterator[Broker]:
    """The same across a network, so that nothing is done when a call returns."""
    mailbox = DelayedMailbox(MemoryMailbox())
    yield Broker(DelayedLog(MemoryLog()), mailbox, mailbox, MemoryCluster())


BROKERS: Mapping[str, Callable[[], AbstractAsyncContextManager[Broker]]] = {
    "memory": memory,
    "delayed": delayed,
}
"""By name. Each makes a broker of its own for one test."""
