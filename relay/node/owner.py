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
from dataclasses import replace
from functools import partial
from typing import Protocol, assert_never

from relay.broker.base import NO_NOTES, LogSnapshot, StreamLog
from relay.errors import BrokerError, BrokerUnavailable, UnknownStream
from relay.node.decisions import (
    AckNext,
    Decision,
    Reaction,
    Stored,
    Unsaid,
    Write,
    stored_of,
    unsaid_of,
)
from relay.protocol.events import (
    Ack,
    Amend,
    Append,
    Chunk,
    Effect,
    Entry,
    Finish,
    HeldChunk,
    Hold,
    Message,
    Nack,
    Refuse,
)
from relay.protocol.facts import Facts
from relay.protocol.limits import Limits
from relay.protocol.receiver import StreamReceiver
from relay.protocol.window import grant
from relay.wire.facts import read_facts, write_facts, write_summary

FACTS, SUMMARY = "facts", "summary"
"""The notes beside the log that the owner itself keeps there."""


class OwnerHost(Protocol):
    """The stream."""

    __slots__ = ()

    def acknowledge(self, first: int, last: int) -> None:
        """Perform an `AckNext`: these neighbouring sequences are stored."""
        ...

    def react(self, reaction: Reaction, now: float) -> None:
        """Perform any other effect that is not a write."""
        ...


class StreamOwner:
    """The only writer of one stream's log.

    `host` is told of each effect that is not a write, after the writes before it are done.
    `failed(error)` is called once if a write fails.

    `stored` follows the writes. The receiver is ahead of them while one is awaited: an
    answer made from it would acknowledge what is still on its way to the log.

    `since` is when this node began. Before, no bot could come back to it or say anything, so
    that its grace and its silence begin then, however long the relay was away. `back_at` is since
    when a bot that is here can be heard again, and fill what is missing.
    """

    __slots__ = (
        *("_credit", "_facts", "_failed", "_host", "_kept", "_last", "_log", "_notes"),
        *("_waiting", "_worker", "_written", "dead", "fence", "receiver", "stored"),
        *("stream_id",),
    )

    def __init__(
        self,
        snapshot: LogSnapshot,
        *,
        limits: Limits,
        can_resend: bool,
        log: StreamLog,
        host: OwnerHost,
        failed: Callable[[BrokerError | UnknownStream], None],
        since: float = 0.0,
        back_at: float = 0.0,
    ) -> None:
        facts = read_facts(snapshot.notes.get(FACTS, ""), snapshot.notes.get(SUMMARY, ""))
        lost_at = None if facts.lost_at is None else max(facts.lost_at, since)
        facts = replace(facts, lost_at=lost_at, back_at=max(facts.back_at or 0.0, since, back_at))
        self.stream_id = snapshot.meta.stream_id
        self.fence = snapshot.fence
        self.dead = False
        self.receiver = StreamReceiver.restore(
            limits,
            snapshot.entries,
            snapshot.held,
            opened_at=snapshot.meta.opened_at,
            can_resend=can_resend,
            facts=facts,
        )
        self._facts = self._kept = self.receiver.facts
        self._notes: dict[str, Callable[[], str]] = {}
        self._last: Write | None = None
        self._log = log
        self._host: OwnerHost | None = host
        self._failed = failed
        self._written = len(snapshot.entries)
        self._credit = grant(limits.credit, 0)
        self.stored = stored_of(self.receiver)
        self._waiting: deque[Decision] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def confirmed(self) -> int:
        """Up to which offset the log has said that it has everything."""
        return self._written if self._last is None else self._last.offset - 1

    def receive(self, message: Message, now: float) -> Awaitable[None] | None:
        """Take a message and perform its effects. None where all of it is done already."""
        if self.dead:
            return None
        return self._perform(self.receiver.receive(message, now), now, message)

    def note(self, name: str, make: Callable[[], str]) -> None:
        """Keep what `make` returns beside the log, under this name, with the next write."""
        self._notes[name] = make

    def keep(self, now: float) -> Awaitable[None] | None:
        """Write the notes without waiting for a write that takes them along.

        Returns what to await, or None where there is nothing (more) to write.
        """
        if self.dead:
            return None
        if not self._notes:
            return None if self._worker is None else asyncio.shield(self._worker)
        return self._perform([Append(())], now, None)

    def receive_next(
        self, chunks: Sequence[Chunk], now: float
    ) -> tuple[bool, Awaitable[None] | None]:
        """Take chunks in their order all at once, where nothing else is under way.

        Returns whether they were taken, and what to await. Where they were not, nothing has
        changed, and they go through `receive`.
        """
        if self.dead or self._worker is not None or self._notes or self.receiver.has_news:
            return False, None
        entries = self.receiver.receive_next(chunks, now)
        if entries is None:
            return False, None
        offset = self._written + 1
        self._written += len(entries)
        try:
            pending = self._log.append(self.stream_id, self.fence, offset, entries, (), NO_NOTES)
        except (BrokerError, UnknownStream) as error:
            self._last = self._write_of(entries, chunks, offset, now)
            self._die(error)
            return True, None
        if pending is not None:
            self._last = self._write_of(entries, chunks, offset, now)
            return True, self._await(pending, self._last.decision, 1)
        # Nothing is held, so nothing is early and all of the credit is free.
        following = self.receiver.next_sequence
        self.stored = Stored(following, (), self._credit)
        if self._host is not None:
            self._host.acknowledge(following - len(entries), following - 1)
        return True, None

    def _write_of(
        self,
        entries: Sequence[Entry],
        chunks: Sequence[Chunk],
        offset: int,
        now: float,
    ) -> Write:
        following = self.receiver.next_sequence
        acked = AckNext(following - len(entries), following - 1)
        effects = (Append(tuple(entries)), acked)
        decision = Decision(effects, now, stored_of(self.receiver), tuple(chunks), None)
        return Write(decision, offset, entries, (), is_first=True)

    def handle_timer(self, now: float) -> Awaitable[None] | None:
        """Let the receiver do what is due."""
        if self.dead:
            return None
        return self._perform(self.receiver.handle_timer(now), now, None)

    def _perform(
        self, effects: Sequence[Effect], now: float, message: Message | None
    ) -> Awaitable[None] | None:
        facts = self._news(effects, message)
        if facts is not None:
            effects = (Append(()), *effects)
        if not effects:
            return None
        messages = () if message is None else (message,)
        decision = Decision(effects, now, stored_of(self.receiver), messages, facts)
        if self._worker is not None:
            self._waiting.append(decision)
            return asyncio.shield(self._worker)
        at = 0
        while at < len(effects):
            at, pending = self._step(decision, at)
            if pending is not None:
                return self._await(pending, decision, at)
        if not self.dead:
            self.stored = decision.stored
        return None

    def _await(
        self, pending: Awaitable[None], decision: Decision, at: int
    ) -> Awaitable[None] | None:
        self._worker = asyncio.get_running_loop().create_task(
            self._go_on(pending, decision, at), context=Context()
        )
        return asyncio.shield(self._worker)

    def _step(self, decision: Decision, at: int) -> tuple[int, Awaitable[None] | None]:
        """Perform one reaction, or one write of all that is to be written before the next."""
        effects, start = decision.effects, at
        entries: list[Entry] = []
        held: list[HeldChunk] = []
        while at < len(effects):
            effect = effects[at]
            match effect:
                case Append():
                    entries.extend(effect.entries)
                case Hold():
                    held.append(effect.chunk)
                case Ack() | AckNext() | Nack() | Refuse() | Finish() | Amend():
                    if at == start:
                        self.stored = decision.stored
                        self._tell(effect, decision.now)
                        return at + 1, None
                    break
                case _:
                    assert_never(effect)
            at += 1
        self._last = Write(decision, self._written + 1, entries, held, start == 0)
        if decision.facts is not None:
            self._note_facts(decision.facts)
        return self._write(entries, held, at, len(effects))

    def _tell(self, effect: AckNext | Reaction, now: float) -> None:
        if self._host is None:
            return
        if isinstance(effect, AckNext):
            self._host.acknowledge(effect.first, effect.last)
        else:
            self._host.react(effect, now)

    def _write(
        self, entries: Sequence[Entry], held: Sequence[HeldChunk], at: int, stop: int
    ) -> tuple[int, Awaitable[None] | None]:
        offset = self._written + 1
        self._written += len(entries)
        notes = NO_NOTES
        if self._notes:
            notes = {name: make() for name, make in self._notes.items()}
            self._notes = {}
        try:
            pending = self._log.append(self.stream_id, self.fence, offset, entries, held, notes)
        except (BrokerError, UnknownStream) as error:
            self._die(error)
            return stop, None
        if pending is None:
            self._last = None
        return at, pending

    def _news(self, effects: Sequence[Effect], message: Message | None) -> Facts | None:
        """Return what has changed beside the log, where that is to be written now.

        What chunks change waits for their next write: else each repetition would cost one.
        """
        receiver = self.receiver
        if isinstance(message, Chunk):
            if not receiver.has_news or not any(
                isinstance(effect, Append | Hold | Amend) for effect in effects
            ):
                return None
        elif receiver.finished and not effects:
            return None
        facts = receiver.facts
        if facts == self._facts:
            return None
        self._facts = facts
        return facts

    def _note_facts(self, facts: Facts) -> None:
        if facts is self._kept:
            return  # of the decision's first write
        self._notes[FACTS] = partial(write_facts, facts)
        if facts.summary is not self._kept.summary:
            self._notes[SUMMARY] = partial(write_summary, facts.summary)
        self._kept = facts

    async def _go_on(self, pending: Awaitable[None], decision: Decision, at: int) -> None:
        """Finish what an awaited write interrupted, then all that has queued up behind it."""
        waiting: Awaitable[None] | None = pending
        try:
            while True:
                if waiting is not None:
                    await waiting
                    waiting = self._last = None
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
        if not self.dead:  # else the stream has gone on without it
            self.dead = True
            self._failed(error)

    def forget(self) -> None:
        """The stream is over, and nobody is to be told anything any more."""
        self.dead = True
        self._host = None
        self._failed = _nothing
        self._notes = {}

    def unsaid(self, snapshot: LogSnapshot | None = None) -> list[Unsaid]:
        """Return the messages that a dead owner did not see through, in their order.

        The snapshot of its successor tells whether the write that failed has happened.
        """
        last = self._last
        found: list[Unsaid] = []
        if last is not None and last.is_first:
            is_stored = snapshot is not None and last.happened(snapshot)
            found += unsaid_of(last.decision, is_stored=is_stored)
        for decision in self._waiting:
            found += unsaid_of(decision, is_stored=False)
        return found


def _nothing(*_: object) -> None: ...
