"""A node on a clock that stands still, with bots, readers and a trace store of the tests' own."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from relay.admin.trace_row import TraceRow
from relay.broker.base import Broker, Cluster, StreamLog, StreamMeta
from relay.broker.memory import MemoryCluster, MemoryLog, MemoryMailbox
from relay.clock import ManualClock
from relay.devices.base import Ask, DeviceProtocol, StreamView
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.plain import PlainProtocol
from relay.node.bots import BotLink
from relay.node.decisions import Stored
from relay.node.node import Node
from relay.node.subscriber import Batch, Subscription
from relay.node.tracer import Tracer
from relay.protocol.events import Abort, Chunk, End, Entry, EntryKind, Position, Summary
from relay.protocol.texthash import content_hash
from relay.settings import Settings
from relay.wire.bot import Acked, Closed, Connected, Outbound, StreamMessage
from tests.support.brokers import DelayedMailbox, MailboxOver
from tests.support.cluster import NodeBroker
from tests.support.core import SHOWN

NOW = 1_772_157_600.0
KEY = 7
PLAIN = PlainProtocol()
LINGZHU = LingzhuProtocol()
META = StreamMeta("s", 1, KEY, "conversation", "agent", "user", "zh", "trace", NOW)

T = TypeVar("T")


async def settle_down() -> None:
    """Let every task run until it waits for something that only the test can do."""
    for _ in range(50):
        await asyncio.sleep(0)


class Timers:
    """`call_later` on a manual clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.started = 0
        self._numbers = count()
        self._heap: list[tuple[float, int, Timer]] = []

    def __call__(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        self.started += 1
        heapq.heappush(self._heap, (self.clock.now() + delay, next(self._numbers), timer))
        return timer

    @property
    def armed(self) -> list[float]:
        """When the timers that still run are due."""
        return sorted(at for at, _, timer in self._heap if not timer.cancelled)

    def fire_next(self, until: float) -> bool:
        """Move the clock to the next timer and call it; False where none is due by `until`."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        if not self._heap or self._heap[0][0] > until:
            return False
        at, _, timer = heapq.heappop(self._heap)
        self.clock.advance(max(0.0, at - self.clock.now()))
        timer.callback()
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass; every timer is called when it is due."""
        until = self.clock.now() + seconds
        while self.fire_next(until):
            pass
        self.clock.advance(until - self.clock.now())


@dataclass(slots=True)
class Timer:
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(slots=True)
class Store:
    """A `TraceSink` that keeps the rows, or fails."""

    rows: dict[str, TraceRow] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    error: Exception | None = None
    loses: int = 0

    async def write_traces(self, rows: Sequence[TraceRow]) -> int:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.batches.append(len(rows))
        for row in rows:
            self.rows[row.stream_id] = row
        return self.loses


class Bot:
    """A bot: what it was told, and what it says."""

    link: BotLink

    def __init__(self) -> None:
        self.told: list[Outbound] = []
        self.counts: list[int] = []
        """Of how many chunks each were those that were acknowledged together."""
        self.farewells: list[tuple[str, bool]] = []

    def send(self, message: Outbound) -> None:
        self.told.append(message)

    def acknowledge(self, stream_id: str, last: int, count: int, stored: Stored) -> None:
        self.counts.append(count)
        state = (stored.next_sequence, stored.received, stored.credit)
        self.send(Acked(stream_id, last, *state))

    def close(self, reason: str, *, reconnect: bool) -> None:
        self.farewells.append((reason, reconnect))

    def heard(self, kind: type[T]) -> list[T]:
        """All messages of one kind that it was sent."""
        return [message for message in self.told if isinstance(message, kind)]

    @property
    def acks(self) -> list[int | None]:
        """The sequences of its ACKs."""
        return [ack.sequence for ack in self.heard(Acked)]

    @property
    def connected(self) -> Connected:
        """The newest `connected`."""
        return self.heard(Connected)[-1]

    @property
    def closed(self) -> list[Closed]:
        """The `stream_closed` messages."""
        return self.heard(Closed)

    async def say(
        self,
        stream_id: str | None,
        message: Chunk | End | Summary | Abort,
        key: str | None = None,
    ) -> None:
        """Say one thing, and wait until the relay takes the next one."""
        await self.link.receive(StreamMessage(stream_id, message, key))

    async def chunks(self, stream_id: str, texts: Sequence[str], *sequences: int) -> None:
        """Send these chunks of an answer, all of them where none is named."""
        for sequence in sequences or range(len(texts)):
            await self.say(stream_id, Chunk(texts[sequence], sequence))

    async def end(self, stream_id: str, texts: Sequence[str]) -> None:
        """End an answer as protocol 2 does."""
        await self.say(stream_id, End(len(texts), content_hash("".join(texts))))


class Reader:
    """A device: reads all that there is, and says when it was handed over."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.batches: list[Batch] = []

    async def read(self) -> Batch:
        """Read the next batch and hand it to the device."""
        batch = await self.subscription.next()
        self.subscription.delivered()
        self.batches.append(batch)
        return batch

    async def read_all(self) -> str:
        """Read to the end; returns what the device shows."""
        while not self.subscription.finished:
            await self.read()
        return self.text

    @property
    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch.entries]

    @property
    def text(self) -> str:
        """What the device shows."""
        return "".join(entry.content for entry in self.entries if entry.kind in SHOWN)

    @property
    def sequences(self) -> list[int | None]:
        """The sequences of the chunks."""
        return [entry.sequence for entry in self.entries if entry.kind is EntryKind.CHUNK]

    @property
    def data(self) -> bytes:
        """The bytes on the device's socket."""
        return b"".join(batch.data for batch in self.batches)

    @property
    def end(self) -> Entry:
        (end,) = (entry for entry in self.entries if entry.kind is EntryKind.END)
        return end


class World:
    """A node and everything around it."""

    def __init__(
        self,
        log: StreamLog | None = None,
        mailbox: MemoryMailbox | MailboxOver | DelayedMailbox | NodeBroker | None = None,
        settings: Settings | None = None,
        store: Store | None = None,
        *,
        cluster: Cluster | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.timers = timers or Timers(ManualClock(NOW))
        self.clock = self.timers.clock
        self.log = MemoryLog() if log is None else log  # an empty log is falsy
        self.mailbox = mailbox or MemoryMailbox()
        self.store = store or Store()
        self.tracer = Tracer(self.store, batch_s=0.0)
        self.node = Node(
            clock=self.clock,
            broker=Broker(self.log, self.mailbox, self.mailbox, cluster or MemoryCluster()),
            settings=settings or Settings(),
            tracer=self.tracer,
            call_later=self.timers,
        )

    async def bot(self, bot_id: int = 1, protocol: int = 2) -> Bot:
        """Let a bot connect."""
        bot = Bot()
        bot.link = await self.node.attach_bot(
            bot_id, protocol=protocol, sdk="test/1", transport=bot
        )
        return bot

    async def ask(
        self, conversation: str = "c", *, bot_id: int | None = 1, key: int = KEY
    ) -> StreamView:
        """Ask a question."""
        ask = Ask(conversation, "agent", "user", "what now?")
        view = await self.node.open_stream(ask, bot_id=bot_id, access_key_id=key)
        # A legacy bot is asked behind a write.
        await settle_down()
        return view

    async def read(
        self,
        stream_id: str,
        device: DeviceProtocol = PLAIN,
        *,
        after: Position | None = None,
        key: int | None = KEY,
    ) -> Reader:
        """Let a device read."""
        return Reader(await self.node.subscribe(stream_id, device, access_key_id=key, after=after))

    async def advance(self, seconds: float) -> None:
        """Let time pass, and whatever follows happen when it is due."""
        until = self.clock.now() + seconds
        await settle_down()
        while self.timers.fire_next(until):
            await settle_down()
        self.clock.advance(until - self.clock.now())
        await settle_down()

    async def rows(self) -> dict[str, TraceRow]:
        """The trace rows by stream id, once all that wait are written."""
        self.tracer.start()
        await self.tracer.stop()
        return self.store.rows

    async def row(self, stream_id: str) -> TraceRow:
        """The trace row of one stream."""
        return (await self.rows())[stream_id]
