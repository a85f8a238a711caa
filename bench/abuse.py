"""`python -m bench.abuse`: a hundred streams beside thousands of connections that mean no good.

One relay. Streams run at 35 ms per chunk in turns without and with the attackers of
`bench.attackers`, which connect before the turn begins and leave behind it. Every chunk of every
turn must arrive once, and the 99th percentile under attack shall be at most twice the one without:
both in one run, because what else the machine does changes from minute to minute.

Exits with 1 where a chunk was lost or came twice, or where the relay died.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench import runner
from bench.__main__ import QUIET, ROOT, machine
from bench.arguments import above_zero, count
from bench.attackers import FLOODS, Attack, Tally, raise_limit
from bench.contestants import take_cores
from bench.figures import figures
from bench.hop import spec_of
from bench.load import Result, Spec, Stream, identifier_of, open_stream, send_all
from bench.stamped import connect_stamped
from relay.demo.relay_process import RelayProcess, relay_process

READY_S: Final = 60.0
OPEN_S: Final = 120.0
OPEN_AT_ONCE: Final = 10
SETTLE_S: Final = 60.0
SETTLED_S: Final = 2.0
"""Between two turns: connections are taken down."""

TARGET: Final = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    streams: int
    slowloris: int
    idle: int
    floods: tuple[str, ...]
    flooders: int
    seconds: float
    rounds: int


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.abuse", description="Streams under attack.")
    parser.add_argument("--streams", type=count, default=100, help="healthy ones")
    parser.add_argument("--slowloris", type=int, default=1000, metavar="N")
    parser.add_argument("--idle", type=int, default=1000, metavar="N", help="idle bots")
    parser.add_argument("--floods", nargs="*", default=["pings"], choices=[*FLOODS])
    parser.add_argument("--flooders", type=count, default=4, help="connections of each flood")
    parser.add_argument("--seconds", type=above_zero, default=10.0, help="of each turn")
    parser.add_argument("--rounds", type=count, default=3, help="turns without and with")
    given = parser.parse_args(arguments)
    return Options(
        given.streams,
        given.slowloris,
        given.idle,
        tuple(given.floods),
        given.flooders,
        given.seconds,
        given.rounds,
    )


@dataclass(slots=True)
class Outcome:
    """What all turns measured."""

    quiet: list[Result] = field(default_factory=list)
    abused: list[Result] = field(default_factory=list)
    memory_mb: float = 0.0
    """The most that the relay had."""

    @property
    def ratio(self) -> float:
        """How much longer the 99th percentile is under attack."""
        quiet, abused = ([one.latency.p99 for one in each] for each in (self.quiet, self.abused))
        return median(abused) / median(quiet)

    @property
    def broken(self) -> int:
        """How many chunks were lost or came twice."""
        return sum(one.lost + one.repeated for one in (*self.quiet, *self.abused))

    def lines(self) -> list[str]:
        """Return a table in Markdown, and what follows from it."""
        found = ["| turn | p50 ms | p99 ms | max ms | chunks | lost | twice | relay CPU % |"]
        found += ["|---|---|---|---|---|---|---|---|"]
        for name, turns in (("quiet", self.quiet), ("under attack", self.abused)):
            found += [f"| {name} {_row(one)} |" for one in turns]
        times = f"p99 under attack is {self.ratio:.2f} times that without (target: {TARGET:g})"
        memory = f"memory at most {self.memory_mb:.0f} MB"
        return [*found, f"{times}; lost or twice: {self.broken}; {memory}"]


def _row(one: Result) -> str:
    latency = one.latency
    figures = f"| {latency.p50:.2f} | {latency.p99:.2f} | {latency.max:.1f} "
    return figures + f"| {one.chunks} | {one.lost} | {one.repeated} | {one.server_cpu_percent:.0f}"


@asynccontextmanager
async def attackers(attack: Attack) -> AsyncIterator[None]:
    """Keep the attackers up meanwhile, and print what became of them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.attackers",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(attack) + b"\n")
        async with asyncio.timeout(READY_S):
            await process.stdout.readline()
        yield
        process.stdin.close()
        said, _ = await process.communicate()
        tally = msgspec.json.decode(said, type=Tally)
        for kind in tally.opened:
            cut, size = tally.cut.get(kind, 0), tally.megabytes.get(kind, 0)
            told = tally.last_words.get(kind, "")[-60:]
            print(f"    {kind}: {tally.opened[kind]} opened, {cut} cut, {size} MB {told!r}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def stream_through(spec: Spec) -> Result:
    """Open every stream, some at a time, send everything, and compare it with what arrived."""
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def open_one(number: int) -> Stream:
        async with gate:
            return await open_stream(spec, number, connect_stamped)

    async with asyncio.timeout(OPEN_S):
        streams = await asyncio.gather(*map(open_one, range(len(spec.tokens))))
    # A collection of this process would be taken for a pause of the relay.
    gc.collect()
    gc.disable()
    late, server, generator = await send_all(spec, streams)
    for stream in streams:
        stream.bot.write(stream.end(identifier_of(spec), spec.chunks))
    # The relay closes an answer that is over. What is late is late, and only what never comes lost.
    await asyncio.wait([stream.device.closed for stream in streams], timeout=SETTLE_S)
    gc.enable()
    counted = range(spec.warmup_chunks, spec.chunks)
    took = [
        (stream.device.read_at[sequence] - stream.sent_at[sequence]) * 1000
        for stream in streams
        for sequence in counted
        if sequence in stream.device.read_at
    ]
    # The warm-up too: that it is not measured does not mean that it may be lost.
    lost = sum(spec.chunks - len(stream.device.read_at) for stream in streams)
    for stream in streams:
        stream.bot.close()
        stream.device.close()
    return Result(
        latency=figures(took),
        late=figures(late),
        chunks=spec.chunks * len(streams),
        lost=lost,
        repeated=sum(stream.device.repeated for stream in streams),
        server_cpu_percent=server,
        generator_cpu_percent=generator,
    )


async def measure(options: Options, relay: RelayProcess) -> Outcome:
    """Take all turns, and print each."""
    whole = spec_of(relay, 35.0, 2.0, options.seconds)
    healthy = replace(
        whole, tokens=whole.tokens[: options.streams], users=whole.users[: options.streams]
    )
    attack = Attack(
        relay.base,
        relay.sdk_tokens[options.streams :],
        options.slowloris,
        options.idle,
        dict.fromkeys(options.floods, options.flooders),
    )
    outcome = Outcome()
    for _ in range(options.rounds):
        outcome.quiet.append(await stream_through(healthy))
        print(f"  quiet {_row(outcome.quiet[-1])} |", flush=True)
        async with attackers(attack):
            outcome.abused.append(await stream_through(healthy))
            outcome.memory_mb = memory_mb(relay.pid)
        print(f"  under attack {_row(outcome.abused[-1])} |", flush=True)
        await asyncio.sleep(SETTLED_S)
    return outcome


def memory_mb(pid: int) -> float:
    """Return the most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


async def main(options: Options) -> int:
    """Run everything and print it; returns the exit code."""
    raise_limit(8 * 1024)
    bots = options.streams + max(options.idle, 16)
    print(f"{machine()}\nload average {os.getloadavg()[0]:.2f}", flush=True)
    cores = take_cores()
    async with relay_process(QUIET, bots=bots) as relay:
        os.sched_setaffinity(0, {cores.load})
        outcome = await measure(options, relay)
    print("", *outcome.lines(), sep="\n")
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(runner.run(main(read_options(sys.argv[1:]))))
