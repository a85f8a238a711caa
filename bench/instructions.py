"""`python -m bench.instructions`: how many instructions a relay takes for a chunk, by callgrind.

What a chunk takes in microseconds depends on who else is on the machine; how many instructions it
takes hardly does. The relay runs under valgrind, much slower than by itself, with a load so small
that nearly all chunks come alone. Counted is all that its process does in twenty seconds, in which
as many chunks come as the load says. What the kernel does is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from bench import runner
from bench.__main__ import machine
from bench.contestants import (
    COMPILED,
    SETTINGS,
    TITLES,
    ContestantMissing,
    Cores,
    lacks,
    take_cores,
    target_of,
)
from bench.generator.program import Load, build, run
from bench.page import put_part
from bench.table import PAGE, say
from relay.demo.relay_process import relay_process
from relay.errors import RelayError

LOADS: Final = {
    "16 streams, a WebSocket each": Load(16, interval_us=50_000),
    "64 streams, a WebSocket each": Load(64, interval_us=200_000),
    "256 streams, a WebSocket each": Load(256, interval_us=800_000),
    "256 streams, 64 on each WebSocket": Load(256, per_socket=64, interval_us=800_000),
}
"""320 chunks a second, each: what is done by time and not by chunk is little of it."""

CONTESTANTS: Final = ("relay", "relay-compiled")

COUNTED_S: Final = 20.0
WARMUP_S: Final = 5.0
"""Valgrind translates anew what it is to count: chunks were late by half a second then."""

SPARE_S: Final = 15.0
"""For valgrind to be told, and for the first chunks, which are not counted."""

START_S: Final = 120.0

NAMES: Final = (
    ("/relay__mypyc.", "the relay"),
    ("/msgspec/", "msgspec"),
    ("/uvloop/", "uvloop"),
    ("/bin/python", "CPython"),
    ("/libpython", "CPython"),
    ("/lib-dynload/", "CPython"),
    ("/libc.so", "libc"),
)
"""Parts of the paths of object files, and what they are called here."""

_POSITION: Final = frozenset("0123456789+-*")
"""What a line of costs begins with."""


class FellBehind(RelayError):
    """The relay could not follow under valgrind: a busy machine, or a load that is too much."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one run counted."""

    chunks: float
    by_library: Counter[str]
    """Instructions in the code of each library itself."""

    @property
    def per_chunk(self) -> float:
        """Instructions for a chunk."""
        return self.by_library.total() / self.chunks

    def shares(self) -> str:
        """Return where most of them are, in words."""
        whole = self.by_library.total()
        most = [(n, count) for n, count in self.by_library.most_common() if count > whole / 50]
        return ", ".join(f"{name} {count / whole:.0%}" for name, count in most)


def read_profile(lines: Iterable[str]) -> Counter[str]:
    """Return how many instructions each object file took itself.

    `lines` are of callgrind's format (valgrind's manual, "Callgrind Format Specification"): `ob=`
    says whose costs follow, and the line behind `calls=` has what was called, which is told there.
    """
    names: dict[str, str] = {}
    found: Counter[str] = Counter()
    library, is_call = "", False
    for line in lines:
        if line.startswith("ob="):
            number, _, name = line[3:].rstrip().partition(" ")
            library = names.setdefault(number, _library(name))
        elif line.startswith("cob="):
            number, _, name = line[4:].rstrip().partition(" ")
            names.setdefault(number, _library(name))
        elif line.startswith("calls="):
            is_call = True
        elif line[:1] in _POSITION:
            if not is_call:
                found[library] += int(line.split()[1])
            is_call = False
    return found


def _library(path: str) -> str:
    return next((name for part, name in NAMES if part in path), path.rpartition("/")[2])


async def count(name: str, load: Load, cores: Cores) -> Counted:
    """Count what this contestant does under this load.

    Raises `ContestantMissing` where it or valgrind is not there, `FellBehind`, and
    `GeneratorFailed`.
    """
    if lacking := lacks(name, None):
        raise ContestantMissing(f"{name}: {lacking}")
    if shutil.which("valgrind") is None or shutil.which("vgdb") is None:
        raise ContestantMissing("valgrind is not installed (Debian: apt-get install valgrind)")
    lasting = int((WARMUP_S + COUNTED_S + SPARE_S) * 1_000)
    load = replace(load, warmup_ms=0, duration_ms=lasting, core=cores.load)
    with TemporaryDirectory(prefix="relay-bench-") as folder:
        profile = Path(folder, "profile")
        callgrind = Callgrind(profile)
        async with relay_process(
            SETTINGS,
            bots=load.bots,
            tree=COMPILED if name == "relay-compiled" else None,
            under=callgrind.command(),
            start_s=START_S,
        ) as relay:
            try:
                async with asyncio.TaskGroup() as tasks:
                    loading = tasks.create_task(run(target_of(relay), load))
                    await _all_open(relay.base, load.streams)
                    await asyncio.sleep(2 * load.interval_us / 1e6)
                    seconds = await callgrind.count(relay.pid, COUNTED_S)
            except ExceptionGroup as failed:
                # Of the two, the one that failed first; the other was cancelled for it.
                raise failed.exceptions[0] from None
            measured = loading.result()
        if not measured.is_whole or measured.latency_us.p90 > load.interval_us:
            raise FellBehind(f"{name} did not follow: p90 {measured.latency_us.p90 / 1e3:.0f} ms")
        with callgrind.profile().open() as lines:
            by_library = read_profile(lines)
    return Counted(seconds * load.streams / load.interval_us * 1e6, by_library)


async def _all_open(base: str, streams: int) -> None:
    """Wait until all streams are open; raises `FellBehind` where they never are."""
    pattern = re.compile(rf"^relay_open_streams {streams}(\.0)?$", re.MULTILINE)
    try:
        async with (
            asyncio.timeout(START_S),
            httpx.AsyncClient(base_url=base, timeout=START_S, trust_env=False) as http,
        ):
            # Another process opens them: nothing tells but the relay itself.
            while not pattern.search((await http.get("/metrics")).text):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise FellBehind(f"{streams} streams were not open within {START_S:g} s") from None


class Callgrind:
    """Valgrind's counter of instructions, for a process that it runs."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._vgdb = f"--vgdb-prefix={profile.with_name('vgdb')}"

    def command(self) -> Sequence[str]:
        """Return what a program is run under. It counts nothing yet."""
        out = f"--callgrind-out-file={self._profile}"
        return "valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", self._vgdb, out

    async def count(self, pid: int, seconds: float) -> float:
        """Count for so long; returns for how many seconds it did."""
        await self._tell(pid, "instrumentation", "on")
        await asyncio.sleep(WARMUP_S)
        await self._tell(pid, "zero")
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        await self._tell(pid, "dump")
        await self._tell(pid, "instrumentation", "off")
        return took

    def profile(self) -> Path:
        """Return the file that was written."""
        return self._profile.with_name(f"{self._profile.name}.1")

    async def _tell(self, pid: int, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *("vgdb", self._vgdb, f"--pid={pid}", *words),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await process.wait() != 0:
            raise ContestantMissing(f"valgrind did not take {' '.join(words)!r}")


def page_part(found: Mapping[str, Mapping[str, Counted]]) -> str:
    """Return the counts as a Markdown table."""
    names = [name for name in CONTESTANTS if any(name in row for row in found.values())]
    lines = [
        "| thousand instructions for a chunk | " + " | ".join(TITLES[n] for n in names) + " |",
        "|---" * (1 + len(names)) + "|",
    ]
    for load, row in found.items():
        cells = [
            f"{row[n].per_chunk / 1e3:.1f} ({row[n].shares()})" if n in row else "" for n in names
        ]
        lines.append(f"| {load} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def main(arguments: Sequence[str]) -> None:
    """Count, and write the page."""
    parser = argparse.ArgumentParser(prog="bench.instructions", description=(__doc__ or "")[:90])
    parser.add_argument("--quick", action="store_true", help="one load, and no page")
    given = parser.parse_args(arguments)
    await build()
    cores = take_cores()
    found: dict[str, dict[str, Counted]] = {}
    for title, load in [*LOADS.items()][: 1 if given.quick else None]:
        for name in CONTESTANTS:
            if lacking := lacks(name, None):
                say(f"{name}: {lacking}")
                continue
            counted = await count(name, load, cores)
            found.setdefault(title, {})[name] = counted
            say(f"{title}, {name}: {counted.per_chunk:,.0f} instructions, {counted.shares()}")
    when = f"{machine()}. {datetime.now(UTC):%Y-%m-%d}, `.venv/bin/python -m bench.instructions`"
    print(page_part(found))
    if not given.quick:
        put_part(PAGE, "instructions", f"{page_part(found)}\n\n{when}")


if __name__ == "__main__":
    try:
        runner.run(main(sys.argv[1:]))
    except RelayError as error:
        sys.exit(f"bench.instructions: {error}")
