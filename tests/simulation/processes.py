"""The relay's processes: a real node each, with its tracer, its broker and its death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from relay.admin.trace_row import TraceRow
from relay.broker.base import Broker
from relay.clock import Clock, TimerHandle
from relay.errors import StoreError
from relay.node.node import Node
from relay.node.tracer import Tracer
from relay.settings import Settings
from tests.simulation.broker import Line
from tests.simulation.facts import Ledger, Row


class Connection(Protocol):
    """Something that hangs on a process: a bot's socket, a device's response."""

    def cut(self) -> None:
        """The process is dead."""
        ...


LAST_WORDS_S = 0.2
"""How long, of virtual time, a process that has drained still lives: what it said last leaves it,
where the network is not slower. No invariant needs it; without it the same scenarios hold."""


class Sink:
    """The trace store, as one process reaches it."""

    def __init__(self, ledger: Ledger, node: str) -> None:
        self.mode = ""
        """`away`, `broken` or `lossy`; else it works."""
        self.dead = False
        self.lost = 0
        """How many rows it did not keep for good."""
        self._ledger = ledger
        self._node = node

    async def write_traces(self, rows: Sequence[TraceRow]) -> int:
        """See `TraceSink.write_traces`."""
        await asyncio.sleep(0.002)
        if self.mode == "away":
            raise StoreError("the store is away")
        kept = list(rows)
        if self.mode == "broken" or self.dead:
            kept = []
        elif self.mode == "lossy":
            kept = kept[1:]
        self.lost += len(rows) - len(kept)
        for row in kept:
            self._ledger.note(row.stream_id, Row(row, self._node))
        if self.mode == "broken":
            raise RuntimeError("the store fails, as planned")
        return len(rows) - len(kept)


class _NoTimer:
    def cancel(self) -> None:
        pass


class Process:
    """One process of the relay."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        *,
        clock: Clock,
        line: Line | None,
        settings: Settings,
        ledger: Ledger,
        new_id: Callable[[], str],
    ) -> None:
        self.name = name
        self.alive = True
        self.accepting = True
        """Whether new connections come here."""
        self.line = line
        self.connections: set[Connection] = set()
        self.sink = Sink(ledger, name)
        self.tracer = Tracer(self.sink)
        self.tracer.start()
        self._loop = asyncio.get_running_loop()
        self.node = Node(
            clock=clock,
            broker=broker,
            settings=settings,
            tracer=self.tracer,
            call_later=self._call_later,
            new_id=new_id,
        )

    def _call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        def call() -> None:
            if self.alive:
                callback()

        return self._loop.call_later(delay, call) if self.alive else _NoTimer()

    async def die(self) -> None:
        """Be gone at once: nothing is said, written or noticed any more."""
        self.alive = self.accepting = False
        if self.line is not None:
            self.line.dead = True
            self.line.stalled = False
        self.sink.dead = True
        self.cut()
        await self.tracer.stop(within_s=0.0)

    async def end(self, after_s: float) -> None:
        """End as after SIGTERM: what is open may run on for so long."""
        self.accepting = False
        await self.node.hand_over()
        for _ in range(10):
            if self.node.open_streams == 0 or not self.alive:
                break
            await asyncio.sleep(after_s / 10)
        if not self.alive:
            return
        await self.node.drain()
        await asyncio.sleep(LAST_WORDS_S)
        self.cut()
        await self.tracer.stop()
        self.alive = False
        if self.line is not None:
            self.line.dead = True

    def cut(self) -> None:
        """Cut every connection."""
        connections, self.connections = self.connections, set()
        # Sorted by their numbers: a set has another order each time.
        for connection in sorted(connections, key=lambda one: getattr(one, "number", 0)):
            connection.cut()
