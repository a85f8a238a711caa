"""Runs many seeds on all cores, and keeps those that fail."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tests.simulation.invariants import violations
from tests.simulation.run import simulate

SEEDS_FILE = Path(__file__).with_name("seeds.txt")
BLOCK = 25
"""How many seeds a process takes at once."""

REPORT_S = 2.0


@dataclass
class Found:
    """What a search has found so far."""

    seeds: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)


def judge(seed: int) -> list[str]:
    """Play a seed; returns what is wrong. What the simulation itself trips over is wrong, too."""
    try:
        return violations(simulate(seed))
    except Exception as error:  # noqa: BLE001 - the seed has to be named, whatever it was
        return [f"the run itself: {type(error).__name__}: {error}"]


def judge_block(seeds: Sequence[int]) -> tuple[int, dict[int, list[str]]]:
    """Play some seeds; returns how many, and what is wrong with which."""
    found = {seed: wrong for seed in seeds if (wrong := judge(seed))}
    gc.collect()
    return len(seeds), found


def prepare_worker() -> None:
    """Collect between blocks: within one there is little to collect and much to look at."""
    gc.freeze()
    gc.disable()


def search(seeds: Sequence[int], *, jobs: int, out: TextIO = sys.stderr) -> Found:
    """Play these seeds, with progress and the time that is left on `out`."""
    blocks = [seeds[start : start + BLOCK] for start in range(0, len(seeds), BLOCK)]
    found = Found()
    started = told = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(jobs, prepare_worker) as pool:
        for played, failed in pool.imap_unordered(judge_block, blocks):
            found.seeds += played
            found.failed |= failed
            for seed, wrong in failed.items():
                print(f"seed {seed}: {wrong[0]}", file=out, flush=True)
            now = time.monotonic()
            if now - told >= REPORT_S or found.seeds == len(seeds):
                told = now
                print(_progress(found, len(seeds), now - started), file=out, flush=True)
    return found


def _progress(found: Found, wanted: int, took_s: float) -> str:
    rate = found.seeds / max(took_s, 1e-6)
    left_s = (wanted - found.seeds) / rate
    return (
        f"{found.seeds} of {wanted} seeds, {rate:.0f}/s, {left_s:.0f} s left, "
        f"{len(found.failed)} failed"
    )


def kept_seeds(file: Path = SEEDS_FILE) -> dict[int, str]:
    """Return every seed that ever failed, with the word why."""
    kept = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        seed, _, why = line.partition(" ")
        if seed.isdigit():
            kept[int(seed)] = why.strip()
    return kept


def keep(failed: dict[int, list[str]], file: Path = SEEDS_FILE) -> None:
    """Add the seeds that failed to those that are kept."""
    known = kept_seeds(file)
    with file.open("a", encoding="utf-8") as out:
        for line in _lines(failed, known):
            out.write(line)


def _lines(failed: dict[int, list[str]], known: dict[int, str]) -> Iterator[str]:
    for seed, wrong in sorted(failed.items()):
        if seed not in known:
            yield f"{seed} {wrong[0].partition(':')[0]}\n"
