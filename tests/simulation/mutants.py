"""The planted bugs: each changes one method of the relay, while it is planted.

They are real mistakes: each was made in some relay of this kind, and each loses, repeats or
delays what somebody said. A checker that finds none of them would be worth nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from relay.broker.base import settle
from relay.broker.memory import MemoryLog
from relay.clock import SystemClock
from relay.node.node import Node
from relay.node.subscriber import Batch, Subscription
from relay.protocol.barrier import EndBarrier
from relay.protocol.events import (
    Ack,
    Append,
    Chunk,
    Effect,
    Entry,
    EntryKind,
    HeldChunk,
    Message,
    Position,
)
from relay.protocol.receiver import StreamReceiver
from relay.protocol.report import LossReport
from relay.protocol.sequencer import Sequencer, Verdict
from relay.protocol.state import StreamState
from tests.simulation.plan import Fault, Plan

Method = Callable[..., Any]
"""A method of the relay: what it takes and returns is its own affair."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug, where it is planted, and whose business it is."""

    name: str
    target: type
    method: str
    make: Callable[[Method], Method]
    """Given the real method, returns the one with the bug."""
    caught_by: tuple[str, ...]
    """The numbers of the invariants that are about it."""
    may_show: Callable[[Plan], bool] = lambda _: True
    """Whether it can make a difference in this scenario at all."""

    def planted(self) -> AbstractContextManager[object]:
        """Plant it. Raises `AttributeError` where the relay has no such method any more."""
        bug = self.make(getattr(self.target, self.method))
        return patch.object(self.target, self.method, bug)


def _dedupe_by_highest(_real: Method) -> Method:
    def has(self: Sequencer, sequence: int) -> bool:
        return sequence <= self.accepted.highest

    return has


def _ack_first(real: Method) -> Method:
    def receive(self: StreamReceiver, message: Message, now: float) -> list[Effect]:
        effects: list[Effect] = real(self, message, now)
        return sorted(effects, key=lambda effect: not isinstance(effect, Ack))

    return receive


def _resume_from_now(real: Method) -> Method:
    async def subscribe(
        self: Node, stream_id: str, *rest: object, after: Position | None = None, **named: object
    ) -> Subscription:
        if after is not None:
            state = await settle(self._log.describe(stream_id))
            after = Position(state.epoch, state.next_offset - 1)
        opened: Subscription = await real(self, stream_id, *rest, after=after, **named)
        return opened

    return subscribe


def _resume_off_by_one(real: Method) -> Method:
    async def subscribe(
        self: Node, *rest: object, after: Position | None = None, **named: object
    ) -> Subscription:
        if after is not None:
            after = Position(after.epoch, after.offset - 1)
        opened: Subscription = await real(self, *rest, after=after, **named)
        return opened

    return subscribe


def _no_fence(real: Method) -> Method:
    def append(self: MemoryLog, stream_id: str, _fence: int, *rest: object) -> None:
        log = self._logs.get(stream_id)
        real(self, stream_id, log.fence if log is not None else 0, *rest)

    return append


def _look_then_listen(_real: Method) -> Method:
    async def next_batch(self: Subscription) -> Batch:
        while True:
            read = self._log.read(self.view.stream_id, self._cursor, 1024)
            entries = await settle(read)
            if entries:
                data, fitting = self._advance(entries)
                return Batch(data, fitting, self._cursor, self.finished)
            news = self._news = asyncio.Event()
            unwatch = self._log.watch(self.view.stream_id, news.set)
            try:
                await news.wait()
            finally:
                unwatch()

    return next_batch


def _end_at_once(_real: Method) -> Method:
    def deadline(self: EndBarrier, *_: object, **__: object) -> float:
        assert self.ended_at is not None
        return self.ended_at

    return deadline


def _wall_clock(real: Method) -> Method:
    def init(self: SystemClock, wall: Callable[[], float], _: Callable[[], float]) -> None:
        real(self, wall, wall)

    return init


def _late_chunk_shown(real: Method) -> Method:
    def receive(self: StreamReceiver, message: Message, now: float) -> list[Effect]:
        was_finished = self.finished
        effects: list[Effect] = real(self, message, now)
        if was_finished and isinstance(message, Chunk) and Ack(message.sequence) in effects:
            late = Entry(self.next_offset, EntryKind.CHUNK, now, message.content, message.sequence)
            return [Append((late,)), *effects]
        return effects

    return receive


def _all_behind_a_gap_is_missing(real: Method) -> Method:
    def report(self: StreamState) -> LossReport:
        true: LossReport = real(self)
        if not true.missing:
            return true
        return replace(true, missing=((true.missing[0][0], true.total_chunks - 1),))

    return report


def _nothing_forgotten(_real: Method) -> Method:
    def drop(_self: MemoryLog, _stream_id: str) -> None:
        pass

    return drop


def _hold_anything(_real: Method) -> Method:
    def try_to_hold(self: Sequencer, chunk: HeldChunk) -> Verdict:
        self.hold(chunk)
        return Verdict.HELD

    return try_to_hold


MUTANTS: Sequence[Mutant] = (
    Mutant("dedupe by highest", Sequencer, "has", _dedupe_by_highest, ("i03", "i04")),
    Mutant("ACK before append", StreamReceiver, "receive", _ack_first, ("i01",)),
    Mutant("`$` resume", Node, "subscribe", _resume_from_now, ("i12",)),
    Mutant(
        "no fence",
        MemoryLog,
        "append",
        _no_fence,
        ("i06",),
        lambda plan: plan.nodes > 1 and plan.has(Fault.STALL, Fault.APPENDS),
    ),
    Mutant(
        "snapshot before subscribe",
        Subscription,
        "next",
        _look_then_listen,
        ("i14", "i08", "i21"),
        lambda plan: plan.broker_s > 0 and plan.shared,
    ),
    Mutant("off-by-one resume", Node, "subscribe", _resume_off_by_one, ("i12",)),
    Mutant("end not held", EndBarrier, "deadline", _end_at_once, ("i09",)),
    Mutant(
        "wall clock",
        SystemClock,
        "__init__",
        _wall_clock,
        ("i09", "i10", "i23"),
        lambda plan: plan.has(Fault.WALL),
    ),
    Mutant("late chunk after end", StreamReceiver, "receive", _late_chunk_shown, ("i09",)),
    Mutant("missing and delivered", StreamState, "report", _all_behind_a_gap_is_missing, ("i08",)),
    Mutant("no eviction", MemoryLog, "drop", _nothing_forgotten, ("i21",)),
    Mutant("unbounded gap set", Sequencer, "_try_to_hold", _hold_anything, ("i21",)),
)
"""The twelve of the fault matrix.

`$` resume is a mistake of readers of Redis; its like here is a reader that resumes behind what
is there by now, and tests/contract holds every broker to the position that was asked for.
"""
