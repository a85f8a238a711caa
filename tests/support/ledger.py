"""What a trace row must say of one stream, by a ledger that is kept beside the relay."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from relay.devices.base import DeviceProtocol
from relay.protocol.events import Chunk, End
from tests.support.node import KEY, NOW, PLAIN, Bot, Reader, World

TEXTS = ["你好", "，", " ", "\n\n", "🦞", "", "fine", "!"]
WHOLE = "".join(TEXTS)
STEP_MS = 125.0
"""The bot sends a chunk every so often. Fractions of two, so that times add up exactly."""
LAG_MS = 15.625
"""And the device is handed it so much later."""


@dataclass
class Ledger:
    """What the test saw with its own eyes; times in milliseconds since the request."""

    sent: dict[int, float] = field(default_factory=dict)
    delivered: dict[int, float] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    ended: float | None = None

    def row(self, **facts: object) -> dict[str, object]:
        """The columns of the row, with those facts that the ledger cannot count."""
        arrivals = sorted(self.sent.items(), key=lambda item: item[1])
        times = [at for _, at in arrivals]
        span = times[-1] - times[0]
        before = [at for at in times if self.ended is not None and at <= self.ended]
        return {
            "message_id": "c",
            "agent_id": "agent",
            "user_id": "user",
            "bot_id": 1,
            "access_key_id": KEY,
            "created_at": NOW,
            "sdk_version": "test/1",
            "sdk_content": "".join(TEXTS[sequence] for sequence in sorted(self.sent)),
            "sse_content": "".join(TEXTS[sequence] for sequence in sorted(self.delivered)),
            "sdk_chunk_count": len(self.sent),
            "sse_chunk_count": len(self.delivered),
            "sdk_total_chunks": len(TEXTS),
            "missing_sequences": self.missing,
            "repaired_by": None,
            "first_chunk_delay": round(times[0]),
            "avg_chunk_interval": round(span / (len(times) - 1)),
            "last_chunk_delay": None if self.ended is None else round(self.ended - before[-1]),
            "ack_delay_p50": 0.0,
            "ack_delay_p99": 0.0,
            "delivery_delay_p50": LAG_MS,
            "delivery_delay_p99": LAG_MS,
            "timeline": [
                [sequence, at, at, self.delivered.get(sequence), len(TEXTS[sequence])]
                for sequence, at in arrivals
            ],
            **facts,
        }


class Play:
    """One question, its bot and its device, and the ledger of it all."""

    def __init__(self, world: World, bot: Bot, stream_id: str, reader: Reader) -> None:
        self.world = world
        self.bot = bot
        self.stream_id = stream_id
        self.reader = reader
        self.ledger = Ledger()

    @classmethod
    async def begin(cls, world: World, protocol: int = 2, device: DeviceProtocol = PLAIN) -> Play:
        bot = await world.bot(protocol=protocol)
        stream_id = (await world.ask()).stream_id
        return cls(world, bot, stream_id, await world.read(stream_id, device))

    @property
    def now(self) -> float:
        return (self.world.clock.now() - NOW) * 1000

    async def send(self, *sequences: int, read: bool = True) -> None:
        """Send chunks, one each step; the device reads each a little later."""
        for sequence in sequences:
            await self.world.advance((STEP_MS - self.now % STEP_MS) / 1000)
            await self.bot.say(self.stream_id, Chunk(TEXTS[sequence], sequence))
            self.ledger.sent[sequence] = self.now
            if read:
                await self.world.advance(LAG_MS / 1000)
                await self.read()

    async def read(self) -> None:
        """Hand over what there is; the ledger notes what the device got."""
        batch = await self.reader.read()
        for entry in batch.entries:
            if entry.kind == "chunk" and entry.sequence is not None:
                self.ledger.delivered[entry.sequence] = self.now

    async def end(self, message: End) -> None:
        """End the answer, a step after the last chunk."""
        await self.world.advance(STEP_MS / 1000)
        self.ledger.ended = self.now
        await self.bot.say(self.stream_id, message)

    async def row(self, **settled: object) -> dict[str, object]:
        """The row, without what is random and what other tests look at."""
        row = asdict(await self.world.row(self.stream_id))
        assert row.pop("trace_id").startswith("trace_")
        assert row.pop("stream_id") == self.stream_id
        row.pop("events")
        return row
