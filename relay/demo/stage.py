"""Plays the scenarios, one after the other, through a real relay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from websockets.exceptions import WebSocketException

from relay.demo.bots import Pace, Part, open_bot
from relay.demo.device import Device, Question, ask
from relay.demo.incident import Turn, load_incident
from relay.demo.ledger import Ledger
from relay.demo.relay_process import RelayProcess, relay_process
from relay.demo.scenarios import SCENARIOS, Scenario, script
from relay.demo.verdict import Row, failed, judge
from relay.errors import RelayError
from relay_sdk import RelaySdkError

LEAD_S: Final = 0.7
"""What is kept of a silence that is skipped: long enough to see who is on the stage."""

PATIENCE_S: Final = 30.0
"""How long a scenario may take beyond its own length before it counts as hung."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo is played."""

    speed: float = 1.0
    """1 is the recorded speed. The relay's own 2 s stay what they are."""
    full: bool = False
    """Whether the silence before the first chunk is played, too: up to 6.8 s for each turn."""
    barrier_s: float = 2.0
    """How long the relay holds an end; a test may shorten it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One scenario while it is played."""

    number: int
    of: int
    scenario: Scenario
    turn: Turn
    pace: Pace
    ledger: Ledger


class Screen(Protocol):
    """Where the demo is watched."""

    def say(self, words: str) -> None:
        """Tell something that is not about a scenario."""
        ...

    def watch(self, scene: Scene) -> AbstractAsyncContextManager[None]:
        """Show the scene for as long as the block runs."""
        ...

    async def took(self, scene: Scene, row: Row) -> None:
        """The scenario is over, and this is how it went; may take its time to be read."""
        ...


async def play(
    screen: Screen,
    options: Options,
    *,
    scenarios: Iterable[Scenario] = SCENARIOS,
    device: Device = ask,
) -> list[Row]:
    """Start a relay, play the scenarios and return a row for each.

    Raises `RelayFailed` where the relay does not start. `device` reads the answers; a test
    plants one that loses something.
    """
    screen.say("starting a relay of its own, with a database that is thrown away ...")
    async with relay_process(_settings(options)) as relay:
        screen.say(f"the relay listens on {relay.base}")
        if not options.full:
            screen.say(
                f"of the silence before an answer {LEAD_S:g} s are kept; --full plays it all"
            )
        return [
            await _perform(screen, scene, relay, device)
            for scene in _scenes(tuple(scenarios), options)
        ]


def exit_code(rows: Sequence[Row]) -> int:
    """Return 0 only if there are rows, and all is as it must be in every one of them."""
    return 0 if rows and all(row.good for row in rows) else 1


def _settings(options: Options) -> dict[str, str]:
    return {"RELAY_BARRIER_SECONDS": f"{options.barrier_s:g}", "RELAY_LOG_LEVEL": "warning"}


def _scenes(scenarios: Sequence[Scenario], options: Options) -> Iterable[Scene]:
    turns = load_incident()
    for number, scenario in enumerate(scenarios, start=1):
        turn = turns[scenario.turn]
        skip_s = 0.0 if options.full else max(0.0, turn.first_at - LEAD_S)
        ledger = Ledger(turn.chunks, options.barrier_s)
        pace = Pace(options.speed, skip_s)
        yield Scene(number, len(scenarios), scenario, turn, pace, ledger)


async def _perform(screen: Screen, scene: Scene, relay: RelayProcess, device: Device) -> Row:
    length_s = (scene.turn.ends[-1].at - scene.pace.skip_s) / scene.pace.speed
    try:
        async with screen.watch(scene), asyncio.timeout(length_s + PATIENCE_S):
            await _converse(scene, relay, device)
            row = judge(scene.scenario, scene.ledger, await relay.trace(scene.ledger.trace_id))
    except TimeoutError:
        row = failed(scene.scenario, scene.ledger, "it did not come to an end")
    except (OSError, RelayError, RelaySdkError, WebSocketException) as error:
        row = failed(scene.scenario, scene.ledger, f"{type(error).__name__}: {error}")
    await screen.took(scene, row)
    return row


async def _converse(scene: Scene, relay: RelayProcess, device: Device) -> None:
    """Have the device ask and the bot answer, until both know how it ended."""
    ledger = scene.ledger
    part = Part(
        relay.base,
        relay.sdk_tokens[0],
        script(scene.scenario, scene.turn),
        scene.pace,
        ledger,
    )
    question = Question(relay.base, relay.access_key, relay.user_ids[0], "今天天气怎么样？")
    async with open_bot(scene.scenario.speaker, part):
        ledger.asked_at = time.monotonic()
        async for heard in device(question):
            ledger.heard.append(heard)


Paint = Callable[[], None]


@asynccontextmanager
async def painting(ledger: Ledger, paint: Paint, *, every_s: float) -> AsyncIterator[None]:
    """Call `paint` again and again while the block runs, and once at its end.

    Painting takes some milliseconds of the same process that measures. So it is done in the
    pauses of the bot, where nothing is on its way.
    """
    task = asyncio.create_task(_paint(ledger, paint, every_s))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        paint()


QUIET_BEFORE_S: Final = 0.012
QUIET_AFTER_S: Final = 0.006
IMPATIENT_S: Final = 0.4


async def _paint(ledger: Ledger, paint: Paint, every_s: float) -> None:
    painted = 0.0
    while True:
        now = time.monotonic()
        last = next(reversed(ledger.sent.values()), 0.0)
        quiet = ledger.next_at - now > QUIET_BEFORE_S and now - last > QUIET_AFTER_S
        if quiet or now - painted > IMPATIENT_S:
            paint()
            painted = now
            await asyncio.sleep(every_s)
        else:
            await asyncio.sleep(QUIET_AFTER_S)
