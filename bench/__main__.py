"""`python -m bench`: the latency that the relay adds, beside a floor and a yardstick.

Three servers take turns under the same load: `loopback` forwards bytes unread (the floor), `naive`
is a relay of an afternoon (the yardstick), and the relay. Server and load generator are processes
of their own. Nothing here is a test: what a machine measures says something about that machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from bench import runner
from bench.arguments import above_zero, count
from bench.figures import Figures, figures
from bench.load import Result, Spec
from bench.report import Run, tables
from relay.admin.traces import TraceFilter
from relay.demo.relay_process import RelayProcess, relay_process

KINDS: Final = ("loopback", "naive", "relay")

QUIET: Final = {"RELAY_LOG_LEVEL": "warning", "RELAY_DRAIN_SECONDS": "0"}
"""Nobody waits for the answers that are open when a measurement is over."""

ROOT: Final = Path(__file__).parents[1]

TRACES_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    streams: tuple[int, ...]
    seconds: float
    warmup: float
    repeats: int
    interval_ms: float
    protocol: int


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench", description="The latency that the relay adds.")
    parser.add_argument("--streams", type=count, nargs="+", default=[10, 100], metavar="N")
    parser.add_argument("--seconds", type=above_zero, default=15.0, help="measured, for each run")
    parser.add_argument("--warmup", type=float, default=3.0, help="seconds before that")
    parser.add_argument("--repeats", type=count, default=3, help="runs of which the median counts")
    parser.add_argument("--interval-ms", type=above_zero, default=35.0, help="between two chunks")
    parser.add_argument("--protocol", type=int, choices=(1, 2), default=2, help="of the bots")
    given = parser.parse_args(arguments)
    return Options(
        tuple(given.streams),
        given.seconds,
        given.warmup,
        given.repeats,
        given.interval_ms,
        given.protocol,
    )


async def measure(
    kind: str, streams: int, options: Options, settings: Mapping[str, str] | None = None
) -> Run:
    """Start a server (a relay with these settings), load it, and return what was measured."""
    if kind != "relay":
        async with _yardstick(kind) as (base, pid):
            names = tuple(str(number) for number in range(streams))
            spec = _spec(kind, base, pid, names, names, "", options)
            return Run(kind, streams, await load(spec), None)
    async with relay_process({**QUIET, **(settings or {})}, bots=streams) as relay:
        tokens, users = relay.sdk_tokens, relay.user_ids
        spec = _spec(kind, relay.base, relay.pid, tokens, users, relay.access_key, options)
        result = await load(spec)
        return Run(kind, streams, result, await _inside(relay, spec))


def _spec(
    kind: str,
    base: str,
    pid: int,
    tokens: tuple[str, ...],
    users: tuple[str, ...],
    key: str,
    options: Options,
) -> Spec:
    return Spec(
        kind=kind,
        base=base,
        pid=pid,
        tokens=tokens,
        users=users,
        access_key=key,
        protocol=options.protocol,
        interval_ms=options.interval_ms,
        warmup_s=options.warmup,
        duration_s=options.seconds,
    )


@asynccontextmanager
async def _yardstick(kind: str) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"bench.{kind}", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        line = (await server.stdout.readline()).decode().strip()
        yield line.rpartition(" ")[2], server.pid
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def load(spec: Spec) -> Result:
    """Run the load generator, a process of its own, and return what it measured."""
    generator = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await generator.communicate(msgspec.json.encode(spec))
    if generator.returncode != 0:
        raise SystemExit(f"bench: the load generator failed ({generator.returncode})")
    return msgspec.json.decode(out, type=Result)


async def _inside(relay: RelayProcess, spec: Spec) -> Figures:
    """Return received to written, as the relay's own traces have it for each chunk."""
    async with asyncio.timeout(TRACES_S):
        # Another process writes them: there is nothing to wait for but the rows themselves.
        while await relay.store.trace_count() < len(spec.tokens):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    added: list[float] = []
    rows = [row async for some in relay.store.archive.export_traces(TraceFilter()) for row in some]
    for row in rows[: len(spec.tokens)]:
        for point in row.timeline:
            assert isinstance(point, list)
            sequence, received, _, delivered, _ = point
            assert isinstance(sequence, int)
            assert isinstance(received, float | int)
            if sequence >= spec.warmup_chunks and isinstance(delivered, float | int):
                added.append(float(delivered) - float(received))
    return figures(added)


def machine() -> str:
    """Return what the figures depend on, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "starlette"))
    return (
        f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, {packages}; garbage collection as by default in the "
        "servers, off in the generator"
    )


async def bench(options: Options) -> None:
    """Run everything, in turns, and print the tables."""
    print(f"{machine()}\nload average {os.getloadavg()[0]:.2f} before the first run", flush=True)
    for streams in options.streams:
        runs: list[Run] = []
        for repeat in range(options.repeats):
            for kind in KINDS:
                run = await measure(kind, streams, options)
                runs.append(run)
                print(f"  {streams} streams, run {repeat + 1}, {run.line()}", flush=True)
        print(f"\n{tables(runs, options.interval_ms)}\n", flush=True)
    print(f"load average {os.getloadavg()[0]:.2f} after the last run")


if __name__ == "__main__":
    runner.run(bench(read_options(sys.argv[1:])))
