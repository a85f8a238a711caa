"""Runs a plan: real nodes, real SDKs, a world that breaks, and a ledger of what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

from relay.broker.base import Broker
from relay.broker.memory import MemoryCluster, MemoryMailbox
from relay.devices.base import Ask
from relay.devices.plain import PlainProtocol
from relay.errors import RelayError
from tests.simulation.bots import AnyBot, Wire, make_bot
from tests.simulation.broker import SOCKET_TIMEOUT_S, FarBroker, Line, WitnessLog
from tests.simulation.devices import Device
from tests.simulation.facts import BotCame, BotLeft, Ledger, Probed, Sample
from tests.simulation.faults import Faults
from tests.simulation.logs import NOT_MADE, PLANNED, watched_logs
from tests.simulation.network import Payload, Socket
from tests.simulation.plan import CLEAR, BotPlan, Plan, Question, Weather, draw
from tests.simulation.processes import Process
from tests.simulation.virtual_time import Stuck, VirtualLoop, run_virtually, virtual_clock
from tests.support.cluster import MemoryNodes

SAMPLE_S = 0.35
"""How often the nodes are asked what they have."""

LAST_S = 240.0
"""By so long after the healing everything must be over."""

Said = dict[tuple[str, int | None], list[str]]


@dataclass
class Run:
    """A plan, and what came of it."""

    plan: Plan
    ledger: Ledger
    said: Said = field(default_factory=dict)
    """What bots said under each number of each stream of theirs, before the weather had it."""
    bot_of: dict[int, int] = field(default_factory=dict)
    """Whose connection each is."""
    healed_at: float = 0.0
    complaints: list[str] = field(default_factory=list)
    """What went wrong within the relay or the world: exceptions, and what never ended."""
    logs_left: int = 0
    """How many logs the broker still has when all is over."""
    tasks_left: list[str] = field(default_factory=list)
    rows_lost: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By process: what its tracer says that it lost, and what its store did not keep."""

    def left_at(self, bot_id: int) -> list[float]:
        """Return when the newest connection of this bot was known to be gone."""
        newest, found = 0, []
        for fact in self.ledger.facts:
            if isinstance(fact.what, BotCame) and fact.what.bot_id == bot_id:
                newest = fact.what.connection
            elif isinstance(fact.what, BotLeft) and fact.what.connection == newest:
                found.append(fact.at)
        return found


class Simulation:
    """One run of one plan."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self.plan = plan
        self.ledger = Ledger(loop.time)
        self.run = Run(plan, self.ledger)
        self.healed = False
        self.wall_jump_s = 0.0
        self.processes: list[Process] = []
        self.bots: dict[int, AnyBot] = {}
        self.stream_ids: list[str] = []
        self.nodes = MemoryNodes(log=self._new_log())
        self._loop = loop
        self.random = Random(f"{plan.seed} world")
        self._numbers = count(1)
        self._ids = count(1)
        self._questions: dict[str, Question] = {}
        self._asking: dict[int, asyncio.Task[str]] = {}
        self._starts = count()

    # --- what the parts of the world need of each other ----------------------------------------

    def next_number(self) -> int:
        """Return a number for a socket or a reader."""
        return next(self._numbers)

    def front(self, random: Random) -> Process | None:
        """Return the process that a new connection comes to."""
        there = [process for process in self.processes if process.accepting]
        return random.choice(there) if there else None

    def asked(self, stream_id: str, text: str) -> Question:
        """Return what a bot was asked, whose text is the number of the question."""
        question = self._questions[stream_id] = self.plan.questions[int(text)]
        if stream_id not in self.stream_ids:
            self.stream_ids.append(stream_id)
        return question

    def connect(self, plan: BotPlan, end: Wire, random: Random, protocol: int) -> Socket | None:
        """Connect a bot; None where nobody is there."""
        process = self.front(random)
        if process is None:
            return None
        socket = Socket(
            self.next_number(),
            process.node,
            bot_id=plan.bot_id,
            protocol=protocol,
            end=end,
            weather=partial(self._weather, plan),
            random=random,
            ledger=self.ledger,
        )
        process.connections.add(socket)
        return socket

    def _weather(self, plan: BotPlan) -> Weather:
        return CLEAR if self.healed else plan.weather

    def saw_said(self, bot_id: int, payload: Payload) -> None:
        """Keep what a bot said, as the truth that all texts are compared with."""
        stream_id, sequence = str(payload.get("session_id")), payload.get("sequence")
        question = self._questions.get(stream_id)
        if payload.get("type") == "stream_chunk" and question and question.bot_id == bot_id:
            number = sequence if type(sequence) is int else None
            texts = self.run.said.setdefault((stream_id, number), [])
            if (text := payload.get("content", "")) not in texts:
                texts.append(str(text))

    # --- the relay -----------------------------------------------------------------------------

    def start_process(self, name: str) -> Process:
        """Start a process of the relay."""
        line: Line | None = None
        if self.plan.shared:
            line = Line(Random(f"{self.plan.seed} {name}"), self.plan.broker_s)
            far = FarBroker(self.nodes, name, line)
            broker = Broker(far, far, far, far)
        else:
            self.nodes.log = self._new_log()  # it lives and dies with its process
            mailbox = MemoryMailbox()
            broker = Broker(self.nodes.log, mailbox, mailbox, MemoryCluster())
        # Processes that share streams count from one wall clock: NTP has mended it by their start.
        jump, self.wall_jump_s = self.wall_jump_s, 0.0
        process = Process(
            name,
            broker,
            clock=virtual_clock(self._loop, lambda: self.wall_jump_s),
            line=line,
            settings=self.plan.settings,
            ledger=self.ledger,
            new_id=lambda: f"{next(self._ids):04d}",
        )
        self.wall_jump_s = jump
        self.processes.append(process)
        self.ledger.happened(f"relay {name} starts")
        return process

    def _new_log(self) -> WitnessLog:
        return WitnessLog(self.ledger, lambda: f"e{next(self._ids):03d}")

    def next_name(self) -> str:
        """Return the name of the next process."""
        return f"n{next(self._starts)}"

    # --- the run -------------------------------------------------------------------------------

    async def play(self) -> Run:
        """Let everything happen, heal it, and wait until it is over."""
        run = self.run
        for _ in range(self.plan.nodes):
            self.start_process(self.next_name())
        for bot in self.plan.bots:
            self.bots[bot.bot_id] = make_bot(self, bot, 0)
        faults = Faults(self)
        work = [asyncio.create_task(faults.run())]
        for number, question in enumerate(self.plan.questions):
            work += [asyncio.create_task(one.run()) for one in self._devices(number, question)]
        sampling = asyncio.create_task(self._sample())
        await asyncio.sleep(self.plan.heals_at)
        self.healed = True
        await faults.heal()
        run.healed_at = self._loop.time()
        self.ledger.happened("everything heals")
        try:
            async with asyncio.timeout(LAST_S):
                await asyncio.gather(*work)
                await self._over()
        except TimeoutError:
            run.complaints.append("something never came to an end")
        sampling.cancel()
        await self._end()
        return run

    async def _over(self) -> None:
        """Wait until no stream is open, and none was when the retention was over."""
        for _ in range(3):
            while any(process.node.open_streams for process in self._alive()):  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(1.0)
            await asyncio.sleep(self.plan.settings.retention_seconds + 3.0)
            if not len(self.nodes.log):
                break

    async def _end(self) -> None:
        """Look at what is left, and end what still runs."""
        run = self.run
        run.logs_left = len(self.nodes.log)
        for process in self._alive():
            run.complaints += [
                f"{process.name} still keeps {one.stream_id}"
                for one in process.node.live.live_streams()
            ]
        for bot in self.bots.values():
            await bot.die()
        alive = self._alive()
        for process in alive:
            await process.end(0.0)
            run.rows_lost[process.name] = (process.tracer.lost, process.sink.lost)
        # A broker that is closed lets what is on its way to it arrive, for at most so long.
        await asyncio.sleep(SOCKET_TIMEOUT_S)
        mine = asyncio.current_task()
        run.tasks_left = [str(task.get_coro()) for task in asyncio.all_tasks() if task is not mine]

    def _alive(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

    def _devices(self, number: int, question: Question) -> list[Device]:
        def ask() -> Awaitable[str]:
            if number not in self._asking:
                self._asking[number] = asyncio.create_task(self._ask(number, question))
            return asyncio.shield(self._asking[number])

        return [
            Device(self, f"d{number}.{place}", plan, question, key=number + 1, stream_id=ask)
            for place, plan in enumerate(question.devices)
        ]

    async def _ask(self, number: int, question: Question) -> str:
        await asyncio.sleep(max(0.0, question.at - self._loop.time()))
        random = Random(f"{self.plan.seed} ask {number}")
        process = self.front(random)
        if process is None:
            raise ConnectionRefusedError("no relay")
        ask = Ask(str(number), "agent", f"user-{number}", str(number))
        try:
            view = await process.node.open_stream(
                ask, bot_id=question.bot_id, access_key_id=number + 1
            )
        except RelayError as error:
            raise ConnectionResetError(type(error).__name__) from error
        await self._probe(process, view.stream_id, number)
        return view.stream_id

    async def _probe(self, process: Process, stream_id: str, number: int) -> None:
        """Try the stream with the key of another."""
        try:
            other = await process.node.subscribe(
                stream_id, PlainProtocol(), access_key_id=number + 2
            )
        except RelayError:
            self.ledger.note(stream_id, Probed("reading with another's key", let_in=False))
        else:
            other.close()
            self.ledger.note(stream_id, Probed("reading with another's key", let_in=True))

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            for process in self._alive():
                for live in process.node.live.live_streams():
                    self.ledger.note(live.stream_id, Sample(process.name, live))


def simulate(seed: int, prepare: Callable[[Plan], Plan] = lambda plan: plan) -> Run:
    """Run a seed."""
    plan = prepare(draw(seed))
    planned = PLANNED | {NOT_MADE} if plan.costs_rows else PLANNED

    async def main(loop: VirtualLoop) -> Run:
        simulation = Simulation(plan, loop)
        with watched_logs(planned) as exceptions:
            try:
                await simulation.play()
            except Stuck as error:
                simulation.run.complaints.append(str(error))
            simulation.run.complaints += exceptions + loop.errors
        return simulation.run

    return run_virtually(main)
