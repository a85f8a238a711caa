"""`python -m bench.curves`: CPU for a chunk and memory, as streams, readers and sizes grow.

The relay with everything on has one core, the load generator another; a chunk every 35 ms for each
stream. Memory is that of the whole process, from /proc, when all has been said and is still held.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench import runner
from bench.__main__ import machine
from bench.arguments import count
from bench.contestants import ROOT, take_cores
from bench.draw import Curve, draw_curves
from bench.generator.program import CACHE, Load, Measured, build
from bench.page import put_part
from bench.rows import FULL, QUICK, Bench
from bench.table import PAGE, say, shown_command

PICTURE: Final = ROOT / "docs" / "performance-curves.svg"

STREAMS: Final = (10, 30, 100, 300, 900, 1_900)
READERS: Final = (10, 30, 100, 300, 1_000, 3_000)
SIZES: Final = (10, 64, 256, 1_024, 4_096, 16_384)

SIZE_STREAMS: Final = 50


@dataclass(frozen=True, slots=True)
class Point:
    """What one load came to."""

    along: float
    cpu_us: float
    """For each chunk that a reader got."""
    memory_mib: float
    """Above what the relay has before the first connection."""
    p99_ms: float
    faults: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """One load that grows."""

    name: str
    along: str
    points: tuple[Point, ...]


def loads_of(name: str, *, quick: bool = False) -> dict[int, Load]:
    """Return what is measured, by what grows."""
    match name:
        case "streams":
            loads = {number: Load(number) for number in STREAMS}
        case "readers":
            loads = {number: Load(1, readers=number, interval_us=10_000) for number in READERS}
        case _:
            loads = {size: Load(SIZE_STREAMS, size=size) for size in SIZES}
    return dict(list(loads.items())[:2]) if quick else loads


ALONG: Final = {
    "streams": "streams, a chunk of 32 B each 35 ms",
    "readers": "readers of one stream, 100 chunks/s",
    "sizes": f"bytes of a chunk, {SIZE_STREAMS} streams at 35 ms",
}


async def sweep(bench: Bench, name: str, repeats: int, *, quick: bool) -> Sweep:
    """Measure a load as it grows."""
    points = []
    for along, load in loads_of(name, quick=quick).items():
        runs = [await bench.load("relay", load) for _ in range(repeats)]
        points.append(_point(along, runs))
    return Sweep(name, ALONG[name], tuple(points))


def _point(along: int, runs: Sequence[Measured]) -> Point:
    return Point(
        float(along),
        median(run.chunk_us for run in runs),
        median((run.pss_kb_after - run.pss_kb_before) / 1024 for run in runs),
        median(run.latency_us.p99 / 1000 for run in runs),
        "; ".join(sorted({run.faults() for run in runs} - {""})),
    )


def picture(sweeps: Sequence[Sweep]) -> str:
    """Return two curves for each, and the tail."""
    curves = [
        Curve(title, one.along, tuple((p.along, value) for p, value in _values(one, title)))
        for one in sweeps
        for title in ("CPU for a chunk, µs", "memory added, MiB", "p99, ms")
    ]
    return str(draw_curves(curves, "What a chunk costs as the load grows"))


def _values(one: Sweep, title: str) -> list[tuple[Point, float]]:
    if title.startswith("CPU"):
        return [(point, point.cpu_us) for point in one.points]
    if title.startswith("memory"):
        return [(point, point.memory_mib) for point in one.points]
    return [(point, point.p99_ms) for point in one.points]


def page_part(sweeps: Sequence[Sweep], when: str) -> str:
    """Return the figures as Markdown."""
    lines: list[str] = [f"![Cost as the load grows]({PICTURE.name})", ""]
    for one in sweeps:
        lines += [f"| {one.along} | CPU for a chunk, µs | memory added, MiB | p99, ms |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {p.along:,.0f} | {p.cpu_us:.1f} | {p.memory_mib:.1f} | {p.p99_ms:.2f} {p.faults}|"
            for p in one.points
        ]
        lines.append("")
    return "\n".join([*lines, when])


async def main(arguments: Sequence[str]) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="bench.curves", description="What a chunk costs.")
    parser.add_argument("--sweeps", nargs="+", choices=list(ALONG), default=list(ALONG))
    parser.add_argument("--repeats", type=count, default=3, help="of which the medians count")
    parser.add_argument("--quick", action="store_true", help="two short points each, no page")
    parser.add_argument("--results", type=Path, default=CACHE / "curves.json")
    given = parser.parse_args(arguments)
    await build()
    bench = Bench(QUICK if given.quick else FULL, take_cores(), None, say)
    repeats = 1 if given.quick else given.repeats
    sweeps = [await sweep(bench, name, repeats, quick=given.quick) for name in given.sweeps]
    command = shown_command(arguments).replace("make bench", "make curves")
    when = f"{machine()}. {datetime.now(UTC):%Y-%m-%d}, {repeats} runs, `{command}`"
    print(page_part(sweeps, when))
    if given.quick:
        return
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_bytes(msgspec.json.format(msgspec.json.encode(sweeps)))
    put_part(PAGE, "curves", page_part(sweeps, when))
    PICTURE.write_text(picture(sweeps))


if __name__ == "__main__":
    runner.run(main(sys.argv[1:]))
