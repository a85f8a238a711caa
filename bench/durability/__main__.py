"""`python -m bench.durability`: what an ACK survives, found by killing processes under load.

In each scene eight answers run at a time, and at a random moment something is killed with SIGKILL.
Then every answer is read once more from its start, and compared with what its bot was told. Half of
the bots are the SDK's; the others forget what was acknowledged, so what is missing of theirs in the
end is what the ACK was worth by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from bench import runner
from bench.__main__ import machine
from bench.arguments import count
from bench.durability.play import outcomes, play
from bench.durability.scenes import SCENES, Scene, on_stage
from bench.durability.tally import Fate, table, tally
from relay.errors import StoreError
from relay.store.store import Store

TRACED_S: Final = 20.0
"""A trace waits for its device's grace, and for a database that was away."""


async def run(scene: Scene, kills: int, seed: int) -> list[Fate]:
    """Play one scene; returns what became of every answer."""
    rng = Random(seed)
    with _folder() as folder:
        async with on_stage(scene, folder, rng) as (stage, break_it):
            fates: list[Fate] = []
            for kill in range(kills):
                fates += await play(stage, kill, break_it, rng)
                if (kill + 1) % 10 == 0:
                    print(f"  {scene.title}: {kill + 1} of {kills} kills", flush=True)
            return await _traced(stage.store, fates)


@contextmanager
def _folder() -> Iterator[Path]:
    """A short path: that of a Unix socket has at most 107 characters."""
    with TemporaryDirectory(prefix="relay-durability-") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as somebody else
        yield Path(name)


async def _traced(store: Store, fates: Sequence[Fate]) -> list[Fate]:
    deadline = time.monotonic() + TRACED_S
    while True:
        found: dict[str, str] = {}
        with suppress(StoreError):  # a database that was killed may still be starting
            found = await outcomes(store)
        told = [replace(fate, trace=found.get(fate.stream_id)) for fate in fates]
        if all(fate.trace for fate in told) or time.monotonic() > deadline:
            return told
        await asyncio.sleep(0.5)


async def bench(names: Sequence[str], kills: int, seed: int) -> None:
    """Play these scenes, and print a table."""
    print(f"{machine()}\n", flush=True)
    rows = {}
    for name in names:
        scene = SCENES[name]
        fates = await run(scene, kills, seed)
        rows[scene.title] = (scene.durability, tally(fates))
        print(table({scene.title: rows[scene.title]}).splitlines()[-1], flush=True)
    print(f"\n{table(rows)}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="bench.durability", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--kills", type=count, default=30, help="for each scene")
    parser.add_argument("--only", nargs="+", choices=list(SCENES), metavar="SCENE")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(sys.argv[1:])
    runner.run(bench(given.only or list(SCENES), given.kills, given.seed))


if __name__ == "__main__":
    main()
