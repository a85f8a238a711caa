"""`python -m bench.table`: the relay beside its yardsticks, row by row, into docs/performance.md.

Each server has one core and the load generator another. Within a row the contestants take turns,
three times over, and the medians count. What was measured is kept beside the generator, so that
rows may be measured one by one, and drawn again.
"""

from __future__ import annotations

import argparse
import os
import shlex
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
from bench.contestants import ROOT, TITLES, ContestantMissing, lacks, take_cores
from bench.draw import Bars, draw_bars
from bench.generator.program import CACHE, GeneratorFailed, build
from bench.page import put_part
from bench.rows import FULL, QUICK, ROWS, Bench, Row, Values

PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "performance.svg"


@dataclass(slots=True)
class Results:
    """All that was measured: by row and contestant, the repeats."""

    machine: str
    rows: dict[str, dict[str, list[dict[str, float]]]]
    taken: dict[str, str]
    """By row: when, with which command, and how busy the machine was."""


def read_results(path: Path) -> Results:
    """Return what was measured before; nothing where there is no such file."""
    if not path.exists():
        return Results(machine(), {}, {})
    return msgspec.json.decode(path.read_bytes(), type=Results)


async def measure_row(
    bench: Bench, row: Row, names: Sequence[str], repeats: int, before: Results | None = None
) -> Results:
    """Let these contestants take turns in a row; a search begins where the last one ended."""
    known = before.rows.get(row.name, {}) if before else {}
    found: dict[str, list[dict[str, float]]] = {}
    for repeat in range(repeats):
        for name in names:
            runs = found.get(name) or known.get(name)
            near = median(_firsts(runs)) if runs else 0.0
            try:
                values: Values = await row.take(bench, name, near)
            except (ContestantMissing, GeneratorFailed) as error:
                bench.say(f"  {row.name}, {name}: {error}")
                continue
            found.setdefault(name, []).append(dict(values))
            shown = ", ".join(f"{key} {value:.2f}" for key, value in values.items() if value)
            bench.say(f"  {row.name}, {name}, run {repeat + 1} of {repeats}: {shown}")
    load = os.getloadavg()[0]
    when = f"{datetime.now(UTC):%Y-%m-%d}, {repeats} runs, load average {load:.1f}"
    return Results(machine(), {row.name: found}, {row.name: when})


def _firsts(runs: Sequence[Values]) -> list[float]:
    return [next(iter(values.values())) for values in runs]


# --- the page -------------------------------------------------------------------------------------


def page_part(results: Results) -> str:
    """Return the tables as Markdown."""
    names = [
        name
        for name in TITLES
        if any(name in results.rows.get(row.name, {}) for row in ROWS if row.name != "sdk")
    ]
    shown = [row for row in ROWS if results.rows.get(row.name) and row.name != "sdk"]
    head = ["what", "reach", "floor", *(TITLES[name] for name in names)]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in shown:
        asked = [f"{row.reach:,g}" if row.reach else "", f"{row.floor:,g}" if row.floor else ""]
        cells = [_cell(row, results.rows[row.name].get(name, [])) for name in names]
        lines.append(_line([_titled(row), *asked, *cells]))
        if row.name == "ten" and (added := _added(results, names)):
            lines.append(
                _line(["the same, added to the C ceiling's", "0.2 / 0.8", "0.25 / 1.5", *added])
            )
    faults = [_faults(results, name) for name in names]
    lines.append(_line(["lost / repeated / out of order, all runs", "0", "0", *faults]))
    lines += ["", "CPU of the server for each chunk that a reader got, microseconds:", ""]
    lines += [_line(["what", *head[3:]]), _line(["---"] * (len(names) + 1))]
    for row in shown:
        costs = [_median(results.rows[row.name].get(name, []), "CPU us") for name in names]
        if any(costs):
            lines.append(_line([row.title, *(f"{cost:.1f}" if cost else "" for cost in costs)]))
    if sdk := results.rows.get("sdk", {}).get("sdk"):
        lines += ["", f"The Python SDK takes {_median(sdk, 'CPU us'):.1f} µs of CPU for a chunk."]
    lines += ["", f"{results.machine}.", "", *_taken(results)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _titled(row: Row) -> str:
    unit = "p50 / p99 ms" if row.name == "ten" else row.unit
    return row.title if unit in row.title else f"{row.title}, {unit}"


def _taken(results: Results) -> list[str]:
    """Return when each row was taken, by the commands that did it."""
    commands: dict[str, list[str]] = {}
    for name, taken in results.taken.items():
        when, _, command = taken.partition(", `")
        commands.setdefault(command, []).append(f"{name} ({when})")
    return [f"- `{command}: {'; '.join(rows)}" for command, rows in commands.items()]


def _median(runs: Sequence[Values], key: str) -> float:
    values = [run[key] for run in runs if key in run]
    return median(values) if values else 0.0


def _cell(row: Row, runs: Sequence[Values]) -> str:
    if not runs:
        return ""
    if row.name == "ten":
        return f"{_median(runs, 'p50 ms'):.2f} / {_median(runs, 'p99 ms'):.2f}"
    values = sorted(_firsts(runs))
    digits = ",.0f" if median(values) >= 100 else ",.1f"
    spread = f" ({values[0]:{digits}}-{values[-1]:{digits}})" if len(values) > 1 else ""
    return f"{median(values):{digits}}{spread}"


def _added(results: Results, names: Sequence[str]) -> list[str]:
    """Return what each adds to the least that this machine's kernel takes, by paired runs."""
    runs = results.rows["ten"]
    least = runs.get("ceiling", [])
    cells = []
    for name in names:
        pairs = [
            [one[key] - other[key] for key in ("p50 ms", "p99 ms")]
            for one, other in zip(runs.get(name, []), least, strict=False)
        ]
        both = [median(values) for values in zip(*pairs, strict=True)]
        cells.append(f"{both[0]:.2f} / {both[1]:.2f}" if both and name != "ceiling" else "")
    return cells if any(cells) else []


def _faults(results: Results, name: str) -> str:
    runs = [run for row in results.rows.values() for run in row.get(name, [])]
    lost, repeated, disordered = (
        sum(run.get(key, 0) for run in runs) for key in ("lost", "repeated", "disordered")
    )
    others = sum(run.get(key, 0) for run in runs for key in ("corrupt", "errors"))
    words = f"{lost:.0f} / {repeated:.0f} / {disordered:.0f}"
    return f"{words} (and {others:.0f} other errors)" if others else words


def picture(results: Results) -> str:
    """Return the rows as bars."""
    panels = []
    for row in ROWS:
        runs = results.rows.get(row.name, {})
        bars = [
            (TITLES[name].replace("`", ""), median(_firsts(runs[name])))
            for name in TITLES
            if runs.get(name)
        ]
        if bars:
            better = "more is better" if row.is_more_better else "less is better"
            title = f"{row.title}, {row.unit}" if row.unit not in row.title else row.title
            title += f" ({better})"
            panels.append(Bars(title, tuple(bars), reach=row.reach, floor=row.floor))
    return str(draw_bars(panels, "The relay beside its yardsticks"))


# --- the command line -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    rows: tuple[str, ...]
    contestants: tuple[str, ...]
    repeats: int
    is_quick: bool
    yardsticks: Path | None
    results: Path
    is_written: bool
    """Into docs/performance.md, where nothing was cut short."""


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.table", description="The relay's table.")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW")
    parser.add_argument("--contestants", nargs="+", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--repeats", type=count, default=3, help="of which the medians count")
    parser.add_argument("--quick", action="store_true", help="one short run of each, no page")
    parser.add_argument("--yardsticks", type=Path, help="a folder with ceiling.c, node-naive, ...")
    parser.add_argument("--results", type=Path, default=CACHE / "table.json")
    parser.add_argument("--draw", action="store_true", help="measure nothing, write the page anew")
    given = parser.parse_args(arguments)
    quick = given.quick
    results = given.results.with_suffix(".quick.json") if quick else given.results
    return Options(
        () if given.draw else tuple(given.rows),
        tuple(given.contestants),
        1 if quick else given.repeats,
        quick,
        given.yardsticks,
        results,
        not quick,
    )


def say(words: str) -> None:
    """Show progress."""
    print(f"{datetime.now(UTC):%H:%M:%S} {words}", file=sys.stderr, flush=True)


async def main(arguments: Sequence[str]) -> None:
    """Measure, and write the page."""
    options = read_options(arguments)
    await build()
    bench = Bench(QUICK if options.is_quick else FULL, take_cores(), options.yardsticks, say)
    for name in options.contestants:
        if lacking := lacks(name, options.yardsticks):
            say(f"{name} is left out: {lacking}")
    for row in ROWS:
        if row.name not in options.rows:
            continue
        names = [
            name
            for name in row.contestants
            if name in options.contestants and not lacks(name, options.yardsticks)
        ]
        before = read_results(options.results)
        fresh = await measure_row(bench, row, names, options.repeats, before)
        keep(options.results, fresh, shown_command(arguments))
    results = read_results(options.results)
    print(page_part(results))
    if options.is_written:
        put_part(PAGE, "table", f"![The table as bars]({PICTURE.name})\n\n{page_part(results)}")
        PICTURE.write_text(picture(results))


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command as the page has it: without what is where on this machine."""
    words = list(arguments)
    for option, word in (("--yardsticks", "FOLDER"), ("--results", "FILE")):
        if option in words[:-1]:
            words[words.index(option) + 1] = word
    return f"make bench ARGS={shlex.quote(shlex.join(words))}" if words else "make bench"


def keep(path: Path, fresh: Results, command: str) -> None:
    """Add what was measured to the file; the runs of one row and contestant replace the older."""
    results = read_results(path)
    results.machine = fresh.machine
    for name, runs in fresh.rows.items():
        if not runs:
            continue
        results.rows.setdefault(name, {}).update(runs)
        results.taken[name] = f"{fresh.taken[name]}, `{command}`"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


if __name__ == "__main__":
    runner.run(main(sys.argv[1:]))
