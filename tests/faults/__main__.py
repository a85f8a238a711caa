"""`python -m tests.faults [NAME...]`: the fault matrix, with real processes.

`--short` is what CI runs: fewer repetitions of each fault. `--chunks 3000000` is the long version
of `weather`. Exits with 1 where a promise was broken; a missed time is shown and no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.faults import report
from tests.faults.catalog import ALL
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage
from tests.tools import find_program

SCENARIO_S = 600.0
LOG_CHARS = 3_000


async def run(scenario: Scenario, size: Size, folder: Path) -> Measured:
    """Run one scenario in this folder."""
    missing = [name for name in scenario.needs if find_program(name) is None]
    if missing:
        return Measured(violations=[f"not run: {', '.join(missing)} is not installed"])
    stage = Stage(folder)
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


async def run_all(scenarios: Sequence[Scenario], size: Size, path: Path | None) -> bool:
    """Run these one after the other, and tell; returns whether every promise was kept."""
    rows: dict[str, str] = {}
    failed = 0
    for number, scenario in enumerate(scenarios, start=1):
        print(f"[{number}/{len(scenarios)}] {scenario.name}: {scenario.fault}", flush=True)
        began = time.monotonic()
        folder = Path(mkdtemp(prefix="relay-faults-"))
        measured = await run(scenario, size, folder)
        if measured.violations:
            print(f"    the logs are in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        took = time.monotonic() - began
        print(f"    {measured.result} in {took:.1f} s: {'; '.join(measured.told)}", flush=True)
        for line in [*measured.late, *measured.violations[:20]]:
            print(f"    {'! ' if line in measured.violations else '~ '}{line}", flush=True)
        failed += bool(measured.violations)
        rows[scenario.name] = report.row(scenario, measured)
        if path is not None:
            report.write(path, [one.name for one in ALL], rows)
    print(f"{len(scenarios) - failed} passed, {failed} failed", flush=True)
    return failed == 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these scenarios")
    parser.add_argument("--list", action="store_true", help="name them all, and run none")
    parser.add_argument("--short", action="store_true", help="fewer repetitions, as CI runs it")
    parser.add_argument("--chunks", type=int, default=100_000, help="of `weather`")
    parser.add_argument("--seed", type=int, default=1, help="of what happens by chance")
    parser.add_argument("--report", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
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
    return 0 if asyncio.run(run_all(chosen, size, given.report)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
