"""What a seed means: everything that will happen is drawn here, before anything runs.

What a part of the world draws while it runs comes from a generator of its own, so that one
more frame on one link changes nothing anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from relay.protocol.events import Part
from relay.settings import Settings
from tests.support.core import PARTS

PIECES = ("你好", "🦞", " ", "\n\n", "ok ", "今天天气", "a", "🎉🎉", "\u3000", "data: x\n")


class Kind(StrEnum):
    """Who answers."""

    SDK = "sdk"
    """Our SDK: protocol 2."""
    NUMBERED = "numbered"
    """A legacy bot that numbers its chunks: 2.3.10 and, with a summary, 2.4.0."""
    COUNTED = "counted"
    """A legacy bot that does not: 2.3.7."""
    WILD = "wild"
    """A program that breaks every rule of the protocol."""


class Fault(StrEnum):
    """What may break, beside the frames on their way."""

    CRASH = "crash"
    """A node dies at once; one like it starts later."""
    STALL = "stall"
    """A node hangs and wakes up: what it had under way lands long after the takeover."""
    CUT = "cut"
    """A node's broker does not answer it."""
    DRAIN = "drain"
    """A node is asked to end."""
    APPENDS = "appends"
    """Writes fail for a while: before they happen, or after, or they happen late."""
    SOCKET = "socket"
    """A bot's connection breaks."""
    DEATH = "death"
    """A bot's process is killed."""
    STORE = "store"
    """The trace store is away, or fails, or loses rows."""
    WALL = "wall"
    """Somebody sets the wall clock."""
    DEAF = "deaf"
    """Hints between nodes are lost."""
    LETTERS = "letters"
    """Commands are lost behind their posting."""
    FLUSH = "flush"
    """The broker that nodes share loses all that it has, and lives on."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What a link does to each frame, both ways."""

    drop: float
    duplicate: float
    latency_s: float
    jitter_s: float
    """Each frame is late by up to this, so they overtake each other."""

    @property
    def keeps_order(self) -> bool:
        """Whether frames arrive once each and as they were sent, while the connection stands."""
        return not (self.drop or self.duplicate or self.jitter_s)


CLEAR = Weather(0.0, 0.0, 0.001, 0.0)


@dataclass(frozen=True, slots=True)
class BotPlan:
    """One bot: who it is and how it is reached."""

    bot_id: int
    kind: Kind
    weather: Weather


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """How one device reads a stream."""

    starts_s: float
    """How long after the question."""
    glasses: bool
    """Whether it reads the glasses' protocol: one connection, no positions."""
    breaks: float
    """How probable it is that its connection breaks behind each batch."""
    slow_s: float
    """How long it takes for each batch; 0 is at once."""
    leaves_s: float | None
    """When it goes for good."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question and its answer."""

    at: float
    bot_id: int
    pieces: tuple[tuple[float, str, Part | None], ...]
    """The answer: how long to wait before each piece, and what it is."""
    ending: str
    """`end`, `fail`, `never`, or `late`: a pause longer than the idle limit, then the end."""
    summary: str
    """Of a legacy bot: `none`, `true`, `hash`, `count` or `text`, the last three false."""
    summary_s: float
    """How long behind the end it comes; negative is before."""
    devices: tuple[DevicePlan, ...]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault, and how long it lasts."""

    at: float
    fault: Fault
    lasts_s: float
    which: int
    """Of the nodes or bots; taken modulo how many there are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole scenario."""

    seed: int
    nodes: int
    shared: bool
    """Whether the broker is shared and far away; else each node has its own, within it."""
    broker_s: float
    """How long one way to a broker that is far away takes."""
    settings: Settings
    bots: tuple[BotPlan, ...]
    questions: tuple[Question, ...]
    faults: tuple[FaultPlan, ...]
    heals_at: float
    """From here on nothing breaks any more, and bots that are dead stay dead."""

    def has(self, *faults: Fault) -> bool:
        """Whether one of these happens."""
        return any(plan.fault in faults for plan in self.faults)

    @property
    def takes_over(self) -> bool:
        """Whether a node may own a stream, for all that it knows, that is another's by now."""
        return self.nodes > 1 and self.has(Fault.CRASH, Fault.STALL, Fault.CUT, Fault.DEAF)

    @property
    def costs_rows(self) -> bool:
        """Whether a node may find no log to make a row of, and counts the row as lost."""
        return self.takes_over or self.has(Fault.FLUSH)


def draw(seed: int) -> Plan:
    """Return the plan of a seed."""
    random = Random(seed)
    shared = random.random() < 0.6
    bots = tuple(_bot(random, number + 1) for number in range(random.choice((1, 1, 1, 2))))
    questions = [question for bot in bots for question in _questions(random, bot)]
    heals_at = max(question.at for question in questions) + random.choice((2.0, 4.0, 9.0))
    return Plan(
        seed=seed,
        nodes=random.choice((1, 2, 2, 3)) if shared else 1,
        shared=shared,
        broker_s=random.choice((0.0, 0.0005, 0.004)),
        settings=_settings(random),
        bots=bots,
        questions=tuple(questions),
        faults=_faults(random, heals_at, shared=shared)
        + _lost_letters(seed, heals_at, shared)
        + _lost_data(seed, heals_at, shared),
        heals_at=heals_at,
    )


def _settings(random: Random) -> Settings:
    credit = random.choice((1, 4, 16, 256))
    return Settings(
        barrier_seconds=random.choice((2.0, 2.0, 0.5)),
        gap_seconds=random.choice((8.0, 8.0, 1.0)),
        idle_seconds=random.choice((6.0, 20.0)),
        bot_grace_seconds=random.choice((8.0, 2.0, 0.3)),
        device_grace_seconds=random.choice((30.0, 30.0, 6.0)),
        hangup_grace_seconds=random.choice((2.0, 0.5)),
        retention_seconds=20.0,
        window=max(credit, random.choice((8, 64, 1024))),
        held_bytes_max=random.choice((256 * 1024, 256 * 1024, 600)),
        stream_bytes_max=random.choice((4 * 1024 * 1024, 4 * 1024 * 1024, 1500)),
        credit=credit,
        secret="simulated",
        trace_content=random.choice(("full", "full", "none")),
    )


def _bot(random: Random, bot_id: int) -> BotPlan:
    kind = random.choice((Kind.SDK, Kind.SDK, Kind.SDK, Kind.NUMBERED, Kind.COUNTED, Kind.WILD))
    weather = Weather(
        drop=random.choice((0.0, 0.0, 0.05, 0.3)),
        duplicate=random.choice((0.0, 0.0, 0.1, 0.3)),
        latency_s=random.choice((0.0, 0.001, 0.02)),
        jitter_s=random.choice((0.0, 0.0, 0.02, 0.3)),
    )
    if kind is Kind.COUNTED:
        # Its chunks are numbered by their arrival: only order tells which is which.
        weather = Weather(0.0, 0.0, weather.latency_s, 0.0)
    return BotPlan(bot_id, kind, weather)


def _questions(random: Random, bot: BotPlan) -> list[Question]:
    alone = bot.kind is Kind.NUMBERED and not bot.weather.keeps_order
    # Two answers at once are numbered by arrival, which bad weather makes meaningless.
    found = 1 if alone else random.choice((1, 1, 2, 3))
    return [_question(random, bot) for _ in range(found)]


def _question(random: Random, bot: BotPlan) -> Question:
    fast = random.choice((0.0, 0.001, 0.02, 0.15))
    pieces = []
    for _ in range(random.choice((0, 1, 3, 12, 25, 40))):
        part = random.choice(PARTS) if random.random() < 0.06 else None
        text = random.choice(PIECES) if part is None else ""
        pieces.append((random.choice((0.0, fast, fast)), text, part))
    return Question(
        at=random.uniform(0.1, 1.5),
        bot_id=bot.bot_id,
        pieces=tuple(pieces),
        ending=random.choice(("end",) * 8 + ("fail", "never", "late")),
        summary=random.choice(("none", "true", "true", "hash", "count", "text")),
        summary_s=random.choice((-0.001, 0.001, 0.001, 0.5, 5.0)),
        devices=tuple(
            _device(random, first=number == 0) for number in range(random.choice((1, 1, 2, 3)))
        ),
    )


def _device(random: Random, *, first: bool) -> DevicePlan:
    glasses = random.random() < 0.2
    return DevicePlan(
        starts_s=0.0 if first else random.choice((0.0, 0.2, 3.0)),
        glasses=glasses,
        breaks=0.0 if glasses else random.choice((0.0, 0.0, 0.1, 0.5)),
        slow_s=random.choice((0.0, 0.0, 0.0, 0.1, 1.5)),
        leaves_s=random.choice((None, None, None, None, 0.5, 3.0)),
    )


def _lost_letters(seed: int, heals_at: float, shared: bool) -> tuple[FaultPlan, ...]:
    random = Random(f"{seed} letters")  # of its own: the seeds that are kept mean what they meant
    if not shared or random.random() > 0.15:
        return ()
    return (FaultPlan(random.uniform(0.0, heals_at), Fault.LETTERS, 2.0, 0),)


def _lost_data(seed: int, heals_at: float, shared: bool) -> tuple[FaultPlan, ...]:
    random = Random(f"{seed} data")  # of its own, too
    if not shared or random.random() > 0.1:
        return ()
    return (FaultPlan(random.uniform(0.0, heals_at), Fault.FLUSH, 0.0, 0),)


ANYWHERE = (Fault.SOCKET, Fault.SOCKET, Fault.DEATH, Fault.STORE, Fault.WALL, Fault.CRASH)
SHARED = (Fault.APPENDS, Fault.APPENDS, Fault.STALL, Fault.STALL, Fault.CUT, Fault.DRAIN)


def _faults(random: Random, heals_at: float, *, shared: bool) -> tuple[FaultPlan, ...]:
    kinds = (*ANYWHERE, *SHARED, Fault.DEAF) if shared else (*ANYWHERE, Fault.DRAIN)
    found = random.choice((0, 1, 1, 2, 3, 5))
    return tuple(
        sorted(
            (
                FaultPlan(
                    at=random.uniform(0.0, heals_at),
                    fault=random.choice(kinds),
                    lasts_s=random.choice((0.05, 0.5, 2.0, 6.0)),
                    which=random.randrange(6),
                )
                for _ in range(found)
            ),
            key=lambda fault: fault.at,
        )
    )
