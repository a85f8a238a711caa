"""A node over a log that fails: whatever goes wrong, the device reads the answer as it was said.

Each seed is one life of one stream: chunks in any order, writes that fail before or after they
happen or land late, claims that fail, connections that break or are fenced, devices that resume.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

import pytest

from relay.broker.memory import MemoryLog
from relay.errors import Fenced, OffsetMismatch
from relay.protocol.events import Chunk, EntryKind, Position
from relay.wire.bot import Acked, Closed, Connected, OpenStreamState, Outbound
from tests.support.brokers import DelayedLog
from tests.support.node import Bot, Reader, World, settle_down

SEEDS = 150
STEPS = 40


class Witness(Bot):
    """A protocol-2 bot that compares every statement of the relay with what is really stored."""

    def __init__(self, log: DelayedLog) -> None:
        super().__init__()
        self.log = log

    def send(self, message: Outbound) -> None:
        super().send(message)
        states = message.streams if isinstance(message, Connected) else (message,)
        for state in states:
            if isinstance(state, Acked | OpenStreamState):
                self._compare(state)

    def _compare(self, state: Acked | OpenStreamState) -> None:
        logs = self.log.inner._logs[state.stream_id]  # noqa: SLF001  # what claims would return, unclaimed
        stored = {e.sequence for e in logs.entries if e.kind is EntryKind.CHUNK} | set(logs.held)
        early = {s for first, last in state.received for s in range(first, last + 1)}
        stated = {*range(state.next_sequence), *early}
        assert stated <= stored, f"stated but not stored: {sorted(stated - stored)}"
        if isinstance(state, Acked) and state.sequence is not None:
            assert state.sequence in stored


class Life:
    """One stream, and everything that may happen to it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.log = DelayedLog(MemoryLog())
        self.world = World(self.log)
        self.texts = [f"{n}🦞 " for n in range(self.random.randint(1, 30))]
        self.tasks: list[asyncio.Task[None]] = []
        self.bot = Witness(self.log)
        self.stream_id = ""
        self.epoch = ""
        self.shown: list[str] = []
        self.cursor = 0
        self.reader: Reader | None = None

    async def attach(self) -> None:
        """Let a new connection come, which fences one that is still there."""
        bot = Witness(self.log)
        bot.link = await self.world.node.attach_bot(1, protocol=2, sdk="sim/1", transport=bot)
        self.bot = bot

    async def step(self) -> None:
        """Let one thing happen."""
        match self.random.randrange(12):
            case 0:
                self.log.fail_next = self.random.choice(["before", "after", "late"])
            case 1:
                self.log.claims_down = self.random.randrange(3)
            case 2:
                if self.random.random() < 0.5:
                    self.bot.link.detach()
                await self.attach()
            case 3:
                await self.world.advance(self.random.uniform(0.0, 0.6))
            case 4:
                self.land()
            case 5 | 6:
                await self.read()
            case _:
                sequence = self.random.randrange(len(self.texts))
                chunk = Chunk(self.texts[sequence], sequence)
                self.tasks.append(asyncio.create_task(self.bot.say(self.stream_id, chunk)))
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    def land(self) -> None:
        """Let a write that was given up happen after all: before the next claim, or never."""
        if self.log._late:  # noqa: SLF001  # whether there is one
            with suppress(Fenced, OffsetMismatch):
                self.log.land()

    async def read(self) -> None:
        """Read a little, or break off and resume."""
        if self.reader is None or self.random.random() < 0.3:
            if self.reader is not None:
                self.reader.subscription.close()
            after = Position(self.epoch, self.cursor)
            self.reader = await self.world.read(self.stream_id, after=after)
        reading = asyncio.create_task(self.reader.read())
        await settle_down()
        reading.cancel()
        await settle_down()
        self.note()

    def note(self) -> None:
        """Take over what the reader was given."""
        assert self.reader is not None
        for entry in self.reader.entries:
            assert entry.offset == self.cursor + 1, "a hole or a repeat"
            self.cursor = entry.offset
            self.shown.append(entry.content)
        self.reader.batches.clear()

    async def heal(self) -> None:
        """Nothing fails any more: the bot resends what is not stored, and ends."""
        self.log.fail_next, self.log.claims_down = "", 0
        await self.world.advance(2.0)
        await asyncio.gather(*self.tasks)
        await self.attach()
        while self.log._late:  # noqa: SLF001  # as above
            self.land()
        (state,) = self.bot.connected.streams
        assert isinstance(state, OpenStreamState)
        await self.bot.chunks(
            self.stream_id, self.texts, *range(state.next_sequence, len(self.texts))
        )
        await self.bot.end(self.stream_id, self.texts)


@pytest.mark.parametrize("block", range(10))
async def test_whatever_fails_the_answer_is_whole(block: int) -> None:
    """Nothing is stated that is not stored, nothing lost or repeated, and there is one end."""
    for seed in range(block * SEEDS // 10, (block + 1) * SEEDS // 10):
        life = Life(seed)
        await life.attach()
        view = await life.world.ask()
        life.stream_id, life.epoch = view.stream_id, view.epoch
        for _ in range(STEPS):
            await life.step()
        await life.heal()
        total = len(life.texts)
        assert life.bot.closed == [Closed(life.stream_id, "completed", total, ())], seed
        await life.read()
        assert life.reader is not None
        assert life.reader.subscription.finished, seed
        assert "".join(life.shown) == "".join(life.texts), seed
        row = await life.world.row(life.stream_id)
        assert (row.status, row.missing_sequences, row.sse_chunk_count) == (
            "completed",
            [],
            total,
        ), seed
        assert life.world.tracer.lost == 0
