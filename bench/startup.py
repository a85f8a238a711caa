"""`python -m bench.startup`: how long until a relay listens, and what `import relay_sdk` takes.

Everything takes turns, each time in a process of its own, and what an import adds to Python is
taken within one turn. CPU time is told beside the time that passes: on a machine that does other
things it is the steadier one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.__main__ import machine
from bench.arguments import count
from bench.contestants import ROOT
from bench.page import put_part
from bench.table import PAGE

RELAY: Final = "from relay.cli import main; main()"
PYTHON: Final = "pass"
SDK: Final = "import relay_sdk"
BOT: Final = "from relay_sdk import Bot; Bot('http://127.0.0.1:8080', 'token')"

FRESH: Final = "`relay serve` until it listens, its database to be made"
READY: Final = "`relay serve` until it listens"
ADDED: Final = {"`import relay_sdk`": SDK, "the same, and a `Bot` made": BOT}


@dataclass(frozen=True, slots=True)
class Took:
    """What one process took."""

    wall_s: float
    cpu_s: float

    def __sub__(self, other: Took) -> Took:
        return Took(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)


def start_relay(folder: Path) -> Took:
    """Start a relay with its database in this folder, and end it when it listens."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", RELAY, "serve", "--host", "127.0.0.1", "--port", "0"],
        env={**_environment(), "RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/relay.db"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process, process.stdout as out:
        said = out.readline()
        took = Took(time.perf_counter() - began, _cpu_s(process.pid))
        process.send_signal(signal.SIGTERM)
    if not said.startswith(b"listening on "):
        raise SystemExit(f"bench: the relay does not start ({process.returncode})")
    return took


def _cpu_s(pid: int) -> float:
    """Return what a process that lives has used: proc_pid_stat(5), fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def run_python(program: str) -> Took:
    """Run this in a Python of its own, to its end."""
    began = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", program], {**os.environ, **_environment()}
    )
    _, status, used = os.wait4(pid, 0)
    took = Took(time.perf_counter() - began, used.ru_utime + used.ru_stime)
    if status:
        raise SystemExit(f"bench: {program} fails")
    return took


def _environment() -> dict[str, str]:
    """Return this environment without settings, and with bytecode that is kept, as installed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("RELAY_")
    }
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk_py")])}


def measure(repeats: int) -> dict[str, list[Took]]:
    """Measure everything so many times, after a turn that only warms up the files."""
    found: dict[str, list[Took]] = {name: [] for name in (READY, FRESH, *ADDED)}
    with TemporaryDirectory(prefix="relay-bench-") as kept:
        for turn in range(repeats + 1):
            with TemporaryDirectory(prefix="relay-bench-") as fresh:
                now = {FRESH: start_relay(Path(fresh)), READY: start_relay(Path(kept))}
            python = run_python(PYTHON)
            now |= {name: run_python(program) - python for name, program in ADDED.items()}
            for name, took in now.items() if turn else ():
                found[name].append(took)
    return found


def table(found: dict[str, list[Took]]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| what | median, ms | lowest to highest | CPU, median, ms |",
        "|---|---|---|---|",
    ]
    for name, runs in found.items():
        wall = [one.wall_s * 1e3 for one in runs]
        cpu = median(one.cpu_s * 1e3 for one in runs)
        above = "" if name in {READY, FRESH} else ", above Python alone"
        lines.append(
            f"| {name}{above} | {median(wall):.0f} | {min(wall):.0f} to {max(wall):.0f} "
            f"| {cpu:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Measure, print, and write the page's part unless this is a first look."""
    parser = argparse.ArgumentParser(prog="bench.startup", description="What a start takes.")
    parser.add_argument("--repeats", type=count, default=10, help="runs of which the median counts")
    parser.add_argument("--quick", action="store_true", help="two runs, shown and kept nowhere")
    given = parser.parse_args(arguments)
    repeats = 2 if given.quick else given.repeats
    found = table(measure(repeats))
    print(found)
    if not given.quick:
        when = f"{machine()}. {datetime.now(UTC):%Y-%m-%d}, {repeats} runs"
        put_part(PAGE, "start", f"{found}\n\n{when}.")


if __name__ == "__main__":
    main(sys.argv[1:])
