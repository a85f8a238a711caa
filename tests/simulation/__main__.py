"""Plays the relay under a broken world: `make simulate SEEDS=20000`, `make simulate SEED=1234`."""

from __future__ import annotations

import argparse
import os
import sys

from bench.arguments import count
from tests.simulation.invariants import violations
from tests.simulation.run import simulate
from tests.simulation.search import keep, kept_seeds, search
from tests.simulation.show import show_plan, show_run

SHOWN_MAX = 20
"""How many failing seeds are told with what is wrong."""


def main(arguments: list[str] | None = None) -> int:
    """Return 1 where a seed fails."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=count, default=2000, help="how many seeds to play")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="play this one and show what happened")
    parser.add_argument("--samples", action="store_true", help="show the nodes' figures, too")
    parser.add_argument("--jobs", type=count, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return show(given.seed, samples=given.samples)
    seeds = [*kept_seeds(), *range(given.first, given.first + given.seeds)]
    found = search(list(dict.fromkeys(seeds)), jobs=given.jobs)
    for seed, wrong in sorted(found.failed.items())[:SHOWN_MAX]:
        print(f"seed {seed}: make simulate SEED={seed}", *wrong, sep="\n  ")  # noqa: T201
    if found.failed:
        keep(found.failed)
        print(f"{len(found.failed)} seeds failed: {sorted(found.failed)}")  # noqa: T201
    return 1 if found.failed else 0


def show(seed: int, *, samples: bool) -> int:
    """Play one seed and print its log."""
    run = simulate(seed)
    wrong = violations(run)
    print(*show_plan(run.plan), "", *show_run(run, samples=samples), "", sep="\n")  # noqa: T201
    print(*(wrong or ["every invariant holds"]), sep="\n")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
