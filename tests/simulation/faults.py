"""What breaks, and heals again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.simulation.bots import make_bot
from tests.simulation.broker import LEASE_S
from tests.simulation.plan import Fault, FaultPlan
from tests.simulation.processes import Process

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

WALL_JUMP_S = 3600.0


class Faults:
    """Does what the plan says, when it says so; nothing of it outlives the healing."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._healing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._deaths = 0
        self._dead: set[int] = set()

    async def run(self) -> None:
        """Begin each fault at its time."""
        now = 0.0
        for plan in sorted(self._world.plan.faults, key=lambda fault: fault.at):
            await asyncio.sleep(plan.at - now)
            now = plan.at
            self._tasks.append(asyncio.create_task(self._do(plan)))

    async def heal(self) -> None:
        """End them all; somebody is there to connect to."""
        self._healing.set()
        await asyncio.gather(*self._tasks)
        if self._world.front(self._world.random) is None:
            self._world.start_process(self._world.next_name())

    async def _while(self, lasts_s: float) -> None:
        try:
            async with asyncio.timeout(lasts_s):
                await self._healing.wait()
        except TimeoutError:
            pass

    async def _do(self, plan: FaultPlan) -> None:
        do: dict[Fault, Callable[[FaultPlan], Awaitable[None]]] = {
            Fault.CRASH: self._crash,
            Fault.STALL: self._stall,
            Fault.CUT: self._stall,
            Fault.DRAIN: self._drain,
            Fault.APPENDS: self._appends,
            Fault.SOCKET: self._socket,
            Fault.DEATH: self._death,
            Fault.STORE: self._store,
            Fault.WALL: self._wall,
            Fault.DEAF: self._deaf,
            Fault.LETTERS: self._letters,
            Fault.FLUSH: self._flush,
        }
        await do[plan.fault](plan)

    def _process(self, plan: FaultPlan) -> Process | None:
        there = [process for process in self._world.processes if process.accepting]
        return there[plan.which % len(there)] if there else None

    async def _crash(self, plan: FaultPlan) -> None:
        process = self._process(plan)
        if process is None:
            return
        self._world.ledger.happened(f"relay {process.name} dies")
        await process.die()
        asyncio.get_running_loop().call_later(LEASE_S, self._world.nodes.kill, process.name)
        await self._while(plan.lasts_s)
        self._world.start_process(self._world.next_name())

    async def _stall(self, plan: FaultPlan) -> None:
        process = self._process(plan)
        if process is None or process.line is None:
            return
        name, line, gone = process.name, process.line, self._world.nodes.gone
        hangs = plan.fault is Fault.STALL
        self._world.ledger.happened(f"relay {name} {'hangs' if hangs else 'is cut off'}")
        line.stalled, line.cut = hangs, not hangs
        lease = asyncio.get_running_loop().call_later(LEASE_S, gone.add, name)
        await self._while(plan.lasts_s)
        lease.cancel()
        if process.alive:
            gone.discard(name)
        line.stalled = line.cut = False
        self._world.ledger.happened(f"relay {name} is back")

    async def _drain(self, plan: FaultPlan) -> None:
        process = self._process(plan)
        if process is None:
            return
        self._world.ledger.happened(f"relay {process.name} is asked to end")
        await process.end(min(plan.lasts_s, 2.0))
        self._world.ledger.happened(f"relay {process.name} has ended")
        self._world.start_process(self._world.next_name())

    async def _appends(self, plan: FaultPlan) -> None:
        process = self._process(plan)
        if process is None or process.line is None:
            return
        self._world.ledger.happened(f"writes of relay {process.name} fail")
        process.line.appends_fail = True
        await self._while(plan.lasts_s)
        process.line.appends_fail = False
        self._world.ledger.happened(f"writes of relay {process.name} work")

    def _bot_id(self, plan: FaultPlan) -> int:
        bots = self._world.plan.bots
        return bots[plan.which % len(bots)].bot_id

    async def _socket(self, plan: FaultPlan) -> None:
        bot_id = self._bot_id(plan)
        self._world.ledger.happened(f"the connection of bot {bot_id} breaks")
        self._world.bots[bot_id].hang_up((0.0, 0.0, 0.3, 2.0)[plan.which % 4])

    async def _death(self, plan: FaultPlan) -> None:
        bot_id = self._bot_id(plan)
        if bot_id in self._dead:
            return
        self._dead.add(bot_id)
        self._world.ledger.happened(f"bot {bot_id} is killed")
        await self._world.bots[bot_id].die()
        if plan.which % 2 and not self._healing.is_set():
            await self._while(plan.lasts_s)
            self._deaths += 1
            bots = self._world.plan.bots
            again = make_bot(self._world, bots[plan.which % len(bots)], self._deaths)
            self._world.bots[bot_id] = again
            self._dead.discard(bot_id)
            self._world.ledger.happened(f"bot {bot_id} is started again")

    async def _store(self, plan: FaultPlan) -> None:
        mode = ("away", "broken", "lossy")[plan.which % 3]
        sinks = [process.sink for process in self._world.processes if process.alive]
        self._world.ledger.happened(f"the trace store is {mode}")
        for sink in sinks:
            sink.mode = mode
        await self._while(plan.lasts_s)
        for sink in sinks:
            sink.mode = ""
        self._world.ledger.happened("the trace store works")

    async def _wall(self, plan: FaultPlan) -> None:
        self._world.wall_jump_s += WALL_JUMP_S if plan.which % 2 else -WALL_JUMP_S
        self._world.ledger.happened(f"the wall clock is off by {self._world.wall_jump_s:.0f} s")

    async def _deaf(self, plan: FaultPlan) -> None:
        self._world.nodes.deaf = True
        await self._while(plan.lasts_s)
        self._world.nodes.deaf = False
        self._world.nodes.refresh()

    async def _letters(self, plan: FaultPlan) -> None:
        self._world.nodes.lossy = True
        await self._while(plan.lasts_s)
        self._world.nodes.lossy = False

    async def _flush(self, plan: FaultPlan) -> None:
        self._world.ledger.happened("the broker loses its data")
        self._world.nodes.lose_everything()
