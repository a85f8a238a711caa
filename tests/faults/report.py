"""The report: a Markdown table, one row for each scenario, the measured beside the target."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.faults.scenario import Measured, Scenario

HEAD = """# The fault matrix, as measured

Written by `make faults`; `make faults ONLY=name` measures one row anew. Each row starts real
processes: the relay as a user starts it, Redis, PostgreSQL, bots, devices, and a ledger that
imports nothing of the relay and judges what was sent, acknowledged, shown and traced.

*held*: no promise was broken, and the target was met. *late*: no promise was broken, but a time or
a size missed its target on this machine: 2 cores; where more than four processes wanted them, the
load is named, and a time says little.
*FAILED*: something was lost, shown twice, or neither shown nor named.

| scenario | fault | how | target | measured | result |
|---|---|---|---|---|---|
"""
COLUMNS = 6


def row(scenario: Scenario, measured: Measured, load: float = 0.0, *, short: bool = False) -> str:
    """Return the row of one scenario; `load` is how many processes wanted a core at its end."""
    told = "; ".join([*measured.told, *measured.violations[:2]])
    cores = os.cpu_count() or 1
    if short:
        told += "; the short version"
    if load > 2 * cores:
        told += f" (load {load:.0f} on {cores} cores)"
    cells = (
        f"`{scenario.name}`",
        scenario.fault,
        scenario.how,
        scenario.target,
        told,
        measured.result,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def write(path: Path, names: Iterable[str], rows: Mapping[str, str]) -> None:
    """Write the report; scenarios that did not run keep the row that is there."""
    kept = _read(path) if path.exists() else {}
    kept.update(rows)
    lines = [kept[name] for name in names if name in kept]
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}
