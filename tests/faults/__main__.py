"""`python -m tests.faults [NAME...]`: the fault matrix, with real processes.

`--short` is what CI runs: fewer repetitions of each fault. `--chunks 3000000` is the long version
of `weather`. Exits with 1 where a promise was broken; a missed time is shown and no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from bench import runner
from bench.arguments import count
from tests.faults import report
from tests.faults.catalog import ALL
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage
from tests.tools import find_program

SCENARIO_S = 600.0
LOG_CHARS = 3_000
VIOLATIONS_MAX = 20
JOBS = 3
"""Of the short version: most of each scenario is waiting. Times mean little then."""


async def run(scenario: Scenario, size: Size, folder: Path, planting: asyncio.Lock) -> Measured:
    """Run one scenario in this folder."""
    missing = [name for name in scenario.needs if find_program(name) is None]
    if missing:
        return Measured(violations=[f"not run: {', '.join(missing)} is not installed"])
    stage = Stage(folder, planting=planting)
    try:
        limit = None if scenario.name == "weather" else SCENARIO_S
        async with asyncio.timeout(limit), stage:
            measured = await scenario.run(stage, size)
    except Exception as error:  # noqa: BLE001 - the other scenarios go on
        why = traceback.format_exception(error)
        print("".join(why), flush=True)
        measured = Measured(violations=[f"the scenario broke off: {error!r}"])
    measured.violations += stage.complaints()
    if measured.violations:
        for path in sorted(folder.rglob("*log")):
            print(f"--- {path.name}\n{path.read_text(errors='replace')[-LOG_CHARS:]}", flush=True)
    return measured


@dataclass(slots=True)
class Show:
    """Runs scenarios, so many at a time, and tells how far it is."""

    size: Size
    jobs: int
    path: Path | None
    """Of the report."""
    total: int = 0
    done: int = 0
    failed: int = 0
    rows: dict[str, str] = field(default_factory=dict)
    planting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, scenarios: Sequence[Scenario]) -> bool:
        """Return whether every promise was kept."""
        self.total = len(scenarios)
        free = asyncio.Semaphore(self.jobs)
        await asyncio.gather(*(self._run(scenario, free) for scenario in scenarios))
        print(f"{self.total - self.failed} passed, {self.failed} failed", flush=True)
        return self.failed == 0

    async def _run(self, scenario: Scenario, free: asyncio.Semaphore) -> None:
        async with free:
            print(f"        {scenario.name}: {scenario.fault}", flush=True)
            began = time.monotonic()
            folder = Path(mkdtemp(prefix="relay-faults-"))
            measured = await run(scenario, self.size, folder, self.planting)
            self._tell(scenario, measured, time.monotonic() - began)
            if measured.violations:
                print(f"    the logs are in {folder}", flush=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def _tell(self, scenario: Scenario, measured: Measured, took_s: float) -> None:
        self.done += 1
        self.failed += bool(measured.violations)
        told = "; ".join(measured.told)
        print(
            f"[{self.done}/{self.total}] {scenario.name} {measured.result}, {took_s:.1f} s: {told}"
        )
        for sign, lines in (("~", measured.late), ("!", measured.violations[:VIOLATIONS_MAX])):
            for line in lines:
                print(f"    {sign} {line}")
        self.rows[scenario.name] = report.row(
            scenario, measured, os.getloadavg()[0], short=self.size.short
        )
        if self.path is not None:
            report.write(self.path, [one.name for one in ALL], self.rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these scenarios")
    parser.add_argument("--list", action="store_true", help="name them all, and run none")
    parser.add_argument("--short", action="store_true", help="fewer repetitions, as CI runs it")
    parser.add_argument("--jobs", type=count, help="at a time; 1, or with --short 3")
    parser.add_argument("--chunks", type=count, default=100_000, help="of `weather`")
    parser.add_argument("--seed", type=int, default=1, help="of what happens by chance")
    parser.add_argument("--report", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args(arguments)
    known = {scenario.name: scenario for scenario in ALL}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no scenario {unknown[0]!r}; there are: {', '.join(known)}")
    if given.list:
        for scenario in ALL:
            print(f"{scenario.name:<22} {scenario.fault}")
        return 0
    chosen = [known[name] for name in given.names]
    chosen = chosen or [one for one in ALL if one.in_short or not given.short]
    size = Size(given.short, given.chunks, given.seed)
    show = Show(size, given.jobs or (JOBS if given.short else 1), given.report)
    return 0 if runner.run(show.run(chosen)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
