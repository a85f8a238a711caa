"""The owner of a stream: performs the receiver's effects, in order, and nothing else may.

With the memory broker a message is received, written and answered in one call that awaits
nothing. With a broker across a network the write is awaited, and whatever arrives meanwhile
waits behind it, so effects are always performed in the order in which they were decided.

A write that failed leaves the owner dead: nobody knows whether it happened. The node drops
it and rebuilds one from the log (crash-only).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import NamedTuple, assert_never

from relay.broker.base import LogSnapshot, StreamLog
from relay.errors import BrokerError, BrokerUnavailable, UnknownStream
from relay.protocol.events import (
    Ack,
    Amend,
    Append,
    Effect,
    Entry,
    Finish,
    HeldChunk,
    Hold,
    Message,
    Nack,
    Refuse,
)
from relay.protocol.limits import Limits
from relay.protocol.rangeset import Ranges
from relay.protocol.receiver import StreamReceiver

Reaction = Ack | Nack | Refuse | Finish | Amend
"""What is left of the effects once the log is written: something to tell somebody."""


class Stored(NamedTuple):
    """How much of a stream is stored, as its bot is told."""

    next_sequence: int
    """Every sequence below is stored or given up."""
    received: Ranges
    """The early sequences that are stored."""
    credit: int
    """How many sequences from `next_sequence` on the bot may send."""


class _Decision(NamedTuple):
    """What the receiver decided on one message, and how much is stored once it is done."""

    effects: Sequence[Effect]
    now: float
    stored: Stored


class StreamOwner:
    """The only writer of one stream's log.

    `react(reaction, now)` is called for each effect that is not a write, after the writes
    before it are done. `failed(error)` is called once if a write fails.

    `stored` follows the writes. The receiver is ahead of them while one is awaited: an
    answer made from it would acknowledge what is still on its way to the log.
    """

    def __init__(
        self,
        snapshot: LogSnapshot,
        *,
        limits: Limits,
        can_resend: bool,
        log: StreamLog,
        react: Callable[[Reaction, float], None],
        failed: Callable[[BrokerError | UnknownStream], None],
    ) -> None:
        self.stream_id = snapshot.meta.stream_id
        self.fence = snapshot.fence
        self.dead = False
        self.receiver = StreamReceiver.restore(
            limits,
            snapshot.entries,
            snapshot.held,
            opened_at=snapshot.meta.opened_at,
            can_resend=can_resend,
        )
        self._log = log
        self._react = react
        self._failed = failed
        self._written = len(snapshot.entries)
        self.stored = _stored(self.receiver)
        self._waiting: deque[_Decision] = deque()
        self._worker: asyncio.Task[None] | None = None

    def receive(self, message: Message, now: float) -> Awaitable[None] | None:
        """Take a message and perform its effects. None where all of it is done already."""
        if self.dead:
            return None
        return self._perform(self.receiver.receive(message, now), now)

    def handle_timer(self, now: float) -> Awaitable[None] | None:
        """Let the receiver do what is due."""
        if self.dead:
            return None
        return self._perform(self.receiver.handle_timer(now), now)

    def _perform(self, effects: Sequence[Effect], now: float) -> Awaitable[None] | None:
        if not effects:
            return None
        decision = _Decision(effects, now, _stored(self.receiver))
        if self._worker is not None:
            self._waiting.append(decision)
            return asyncio.shield(self._worker)
        at = 0
        while at < len(effects):
            at, pending = self._step(decision, at)
            if pending is not None:
                self._worker = asyncio.get_running_loop().create_task(
                    self._go_on(pending, decision, at), context=Context()
                )
                return asyncio.shield(self._worker)
        if not self.dead:
            self.stored = decision.stored
        return None

    def _step(self, decision: _Decision, at: int) -> tuple[int, Awaitable[None] | None]:
        """Perform one reaction, or one write of all that is to be written before the next."""
        effects = decision.effects
        entries: list[Entry] = []
        held: list[HeldChunk] = []
        while at < len(effects):
            effect = effects[at]
            match effect:
                case Append():
                    entries.extend(effect.entries)
                case Hold():
                    held.append(effect.chunk)
                case Ack() | Nack() | Refuse() | Finish() | Amend():
                    if not entries and not held:
                        self.stored = decision.stored
                        self._react(effect, decision.now)
                        return at + 1, None
                    break
                case _:
                    assert_never(effect)
            at += 1
        return self._write(entries, held, at, len(effects))

    def _write(
        self, entries: Sequence[Entry], held: Sequence[HeldChunk], at: int, stop: int
    ) -> tuple[int, Awaitable[None] | None]:
        offset = self._written + 1
        self._written += len(entries)
        try:
            return at, self._log.append(self.stream_id, self.fence, offset, entries, held)
        except (BrokerError, UnknownStream) as error:
            self._die(error)
            return stop, None

    async def _go_on(self, pending: Awaitable[None], decision: _Decision, at: int) -> None:
        """Finish what an awaited write interrupted, then all that has queued up behind it."""
        waiting: Awaitable[None] | None = pending
        try:
            while True:
                if waiting is not None:
                    await waiting
                    waiting = None
                if self.dead:
                    return
                if at < len(decision.effects):
                    at, waiting = self._step(decision, at)
                    continue
                self.stored = decision.stored
                if self._waiting:
                    decision = self._waiting.popleft()
                    at = 0
                else:
                    return
        except (BrokerError, UnknownStream) as error:
            self._die(error)
        except Exception:
            # A bug of ours: what is behind it in the queue must not wait for ever.
            self._die(BrokerUnavailable("the owner failed"))
            raise
        finally:
            self._worker = None

    def _die(self, error: BrokerError | UnknownStream) -> None:
        self.dead = True
        self._waiting.clear()
        self._failed(error)


def _stored(receiver: StreamReceiver) -> Stored:
    return Stored(receiver.next_sequence, receiver.received, receiver.credit)
