"""`make soak MINUTES=30`: churn for half an hour, with samples, a drawing and a verdict.

A relay process of its own meets bots that come, go, fence each other and talk nonsense, devices
that resume, hang up and dawdle, streams that end in every way, operators, and a sweep that deletes
the oldest traces. All the while it is looked at, from outside and through `/metrics`. Exits with 1
where a figure grew, something did not come back, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import httpx

from bench import runner
from bench.__main__ import QUIET, machine
from bench.arguments import above_zero, count
from bench.sizes import redis_server
from bench.soak.bots import CableBot
from bench.soak.chart import Panel, draw_soak
from bench.soak.crowd import crowd
from bench.soak.judge import Limit, Return, Sample, Trend, faults, more_of, returns, trends
from bench.soak.ledger import Ledger
from bench.soak.look import TASKS_IN, from_inside, look
from bench.soak.report import crowd_table, return_table, trend_table
from bench.soak.wish import Wish
from relay.demo.relay_process import RelayProcess, relay_process
from relay.store.secrets import new_admin_token

SETTINGS: Final[Mapping[str, str]] = {
    **QUIET,
    "RELAY_RETENTION_SECONDS": "10",
    "RELAY_IDLE_SECONDS": "6",
    "RELAY_BOT_GRACE_SECONDS": "3",
    "RELAY_DEVICE_GRACE_SECONDS": "3",
    "RELAY_HANGUP_GRACE_SECONDS": "1",
    "RELAY_GAP_SECONDS": "3",
    "RELAY_POLL_SECONDS": "3",
    "RELAY_KEEPALIVE_SECONDS": "2",
    "RELAY_SWEEP_SECONDS": "5",
    "RELAY_TRACE_TTL_SECONDS": "30",
    "RELAY_TRACE_CONTENT_TTL_SECONDS": "15",
}
"""Short times, so that all that is kept for a while goes within half a minute."""

BACK_S: Final = 5.0
"""How long behind the last client everything of a connection may take to be gone (invariant 21)."""

FIRST_S: Final = 2.0
"""How long the bot lives that answers the very first question."""

FORGOTTEN_S: Final = 25.0
"""And what is kept on purpose: the retention, and the longest timer."""

FILLED_S: Final = 45.0
"""Until then all that is kept for a while fills up: rows for 30 s, and the sweep behind them."""

HALF_AN_HOUR_S: Final = 1_800.0

CONNECTED: Final = (
    "tasks", "sockets", "other descriptors", "open streams", "readers", "bots", "held chunks",
    "rows waiting", "rows lost",
)  # fmt: skip

KEPT: Final = ("kept streams", "logs", "log bytes", "timers")

PANELS: Final = (
    Panel("Memory of its own, MB", ("memory MB",)),
    Panel("Descriptors", ("descriptors", "sockets")),
    Panel("Tasks", ("tasks",)),
    Panel("Timers", ("timers",)),
    Panel("Streams in memory", ("kept streams", "open streams")),
    Panel("Trace rows in the database", ("rows",)),
    Panel("Database, MB", ("database MB", "database in use MB")),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. Times are seconds."""

    seconds: float
    warmup_s: float
    every_s: float
    bots: int
    devices: int
    rate: float
    memory_mb: float
    redis: bool
    seed: int
    chart: Path | None


def limits(memory_mb: float, seconds: float = HALF_AN_HOUR_S) -> list[Limit]:
    """Return what may grow by how much: memory by MB, the rest by a share of its median.

    Memory and the database may grow by more in a short run. What has just begun is still to meet
    its busiest moment, and keeps what it took for it: by some 15 MB in the first ten minutes, by
    2 in the last eighteen of thirty. What is forgotten in memory is counted, in any run.
    """
    still_filling = max(1.0, HALF_AN_HOUR_S / seconds)
    floors = {
        "descriptors": 10,
        "sockets": 10,
        "tasks": 15,
        "timers": 30,
        "open streams": 10,
        "kept streams": 30,
        "log bytes": 1e6,
        "rows": 150,
        "logs": 30,
        "database MB": 2 * still_filling,
        "database in use MB": 2 * still_filling,
        "database log MB": 2 * still_filling,
    }
    others = [Limit(name, 0.15, floor) for name, floor in floors.items()]
    return [Limit("memory MB", 0.0, memory_mb * still_filling), *others]


@dataclass(frozen=True, slots=True)
class Soak:
    """What was seen."""

    samples: Sequence[Sample]
    crowd_s: float
    trends: Sequence[Trend]
    back: Sequence[Return]
    outcomes: Mapping[str, int]
    ledger: Ledger

    @property
    def faults(self) -> list[str]:
        """What is wrong; empty where all is well."""
        wrong = [f"wrong: {words}" for words in self.ledger.wrong]
        return [*faults(self.trends, self.back), *wrong]


@asynccontextmanager
async def _relay(options: Options) -> AsyncIterator[RelayProcess]:
    async with redis_server() as redis:
        if options.redis and redis is None:
            raise SystemExit("bench.soak: redis-server is not installed")
        broker = {"RELAY_BROKER_URL": redis.url} if options.redis and redis else {}
        async with relay_process({**SETTINGS, **broker}, bots=options.bots) as relay:
            yield relay


async def soak(options: Options) -> Soak:
    """Run it; tells each half minute how far it is."""
    async with (
        _relay(options) as relay,
        httpx.AsyncClient(base_url=relay.base, trust_env=False, timeout=30) as http,
    ):
        samples: list[Sample] = []
        began = time.monotonic()

        async def look_until(end: float) -> Sample:
            while True:
                at = time.monotonic() - began
                samples.append(await look(at, relay.pid, http, relay.store))
                if at >= end:
                    return samples[-1]
                await asyncio.sleep(min(options.every_s, max(0.01, end - at)))
                _tell(samples, options)

        empty = await look(0.0, relay.pid, http, relay.store)
        await _first_question(http, relay)
        before = await look(0.0, relay.pid, http, relay.store)
        began = time.monotonic()
        async with crowd(
            relay, devices=options.devices, rate=options.rate, operators=2, seed=options.seed
        ) as ledger:
            await look_until(options.seconds)
        crowd_s = time.monotonic() - began
        at_once = await look_until(crowd_s + BACK_S)
        later = await look_until(crowd_s + FORGOTTEN_S)
        _, outcomes = await from_inside(http)
    back = [*returns(before.values, at_once.values, CONNECTED, later.values)]
    back += returns(empty.values, later.values, KEPT)
    if any(one.name == "tasks" and not one.back for one in back):
        back += more_of(TASKS_IN, before.values, at_once.values, later.values)
    crowded = [sample for sample in samples if sample.at <= options.seconds]
    judged = trends(crowded, limits(options.memory_mb, options.seconds), options.warmup_s)
    return Soak(samples, crowd_s, judged, back, outcomes, ledger)


async def _first_question(http: httpx.AsyncClient, relay: RelayProcess) -> None:
    """Have one question answered: some of what serves them is made with the first one."""
    question = {
        "message_id": "1",
        "agent_id": "soak",
        "user_id": relay.user_ids[0],
        "message": [{"role": "user", "type": "text", "text": str(Wish("whole", 3, 0.0))}],
    }
    headers = {"Authorization": f"Bearer {relay.access_key}"}
    bot = CableBot(relay.base, relay.sdk_tokens[0], protocol=2, rng=Random(0))
    living = asyncio.create_task(bot.live(FIRST_S, "close"))
    await asyncio.sleep(FIRST_S / 2)
    (await http.post("/sse/rokid", json=question, headers=headers)).raise_for_status()
    told = await http.post("/api/rokid/trigger", json=question, headers=headers)
    (await http.get(told.json()["events_url"])).raise_for_status()
    await living
    token = new_admin_token()
    await relay.store.add_admin_token(token)
    headers = {"Authorization": f"Bearer {token}"}
    async with http.stream("GET", "/admin/api/live/events", headers=headers) as feed:
        feed.raise_for_status()
    await asyncio.sleep(BACK_S)


def _tell(samples: Sequence[Sample], options: Options) -> None:
    at = samples[-1].at
    if len(samples) > 1 and int(at / 30) == int(samples[-2].at / 30):
        return
    values = samples[-1].values
    share = min(1.0, at / (options.seconds + FORGOTTEN_S))
    figures = ", ".join(
        f"{values[name]:.0f} {name}"
        for name in ("memory MB", "descriptors", "tasks", "open streams", "kept streams", "rows")
    )
    print(f"  {at / 60:5.1f} min, {share:4.0%}: {figures}; {values['ended']:.0f} ended", flush=True)


def report(found: Soak, options: Options) -> str:
    """Return the whole report as Markdown."""
    first, last = found.samples[0].values, found.samples[-1].values
    ended = last["ended"]
    cpu = (last["CPU s"] - first["CPU s"]) / found.samples[-1].at * 100
    told = (
        f"{'Redis' if options.redis else 'Memory'} broker, {found.crowd_s / 60:.1f} minutes, "
        f"the first {options.warmup_s / 60:.1f} as warm-up; {options.bots} bots, "
        f"{options.rate:g} devices a second and 2 operators; {ended:,.0f} streams "
        f"({ended / found.crowd_s:.1f} a second), {cpu:.0f} % of a core, "
        f"{len(found.samples)} samples."
    )
    return "\n\n".join(
        [
            told,
            trend_table(found.trends),
            return_table(found.back),
            crowd_table(found.ledger, found.outcomes),
            "\n".join(f"- {fault}" for fault in found.faults) or "Flat, back, and nothing wrong.",
        ]
    )


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=above_zero, default=30.0)
    parser.add_argument(
        "--warmup", type=above_zero, metavar="MINUTES", help="else as long as it fills"
    )
    parser.add_argument("--every", type=above_zero, default=3.0, help="seconds between two samples")
    parser.add_argument("--bots", type=count, default=12)
    parser.add_argument("--devices", type=count, default=60, help="at most at a time")
    parser.add_argument("--rate", type=above_zero, default=5.0, help="devices that come a second")
    parser.add_argument(
        "--memory-mb", type=above_zero, default=2.0, help="flat still in half an hour"
    )
    parser.add_argument("--redis", action="store_true", help="with a redis-server of its own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chart", type=Path, help="where to write the drawing")
    given = parser.parse_args(arguments)
    seconds = given.minutes * 60
    warmup_s = given.warmup * 60 if given.warmup is not None else _warmup_s(seconds)
    return Options(
        seconds,
        warmup_s,
        given.every,
        given.bots,
        given.devices,
        given.rate,
        given.memory_mb,
        given.redis,
        given.seed,
        given.chart,
    )


def _warmup_s(seconds: float) -> float:
    """Two fifths of the time; where that is too short to fill up, three quarters at most."""
    return min(0.75 * seconds, max(0.4 * seconds, FILLED_S))


async def run(options: Options) -> bool:
    """Soak, print the report, write the drawing; returns whether all is well."""
    print(machine(), flush=True)
    found = await soak(options)
    print(f"\n{report(found, options)}")
    if options.chart is not None:
        drawn = draw_soak(found.samples, PANELS, warmup_s=options.warmup_s, crowd_s=found.crowd_s)
        await asyncio.to_thread(options.chart.write_text, f"{drawn}\n")
    return not found.faults


def main() -> None:
    """Read the command line and run."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(not runner.run(run(read_options(sys.argv[1:]))))


if __name__ == "__main__":
    main()
