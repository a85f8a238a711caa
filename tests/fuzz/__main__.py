"""Fuzzes the parsers: `python -m tests.fuzz [TARGET...] --seconds 60`, which `make fuzz` calls.

    python -m tests.fuzz                      every target in turn, 60 s in all
    python -m tests.fuzz sse_parser --seconds 600
    python -m tests.fuzz sse_parser --input FILE   one input again, in plain Python
    python -m tests.fuzz --seed 1             the same inputs each time, as CI wants them
    python -m tests.fuzz --list

What is new lies in `.fuzz/TARGET` and is set out from the next time. An input that breaks a
promise is kept in `.fuzz` too, and named; with the repair it belongs into
`tests/fuzz/corpus/TARGET`. `--keep` takes over what adds coverage, in as few inputs as will do.

With a seed the engine sets out from the corpus alone and draws the same inputs in the same order,
so that a run of CI fails for what has changed. How far it gets depends on the machine, and which
inputs it draws on the code. Where `setarch -R` is forbidden, a rare one differs. To explore, give
no seed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.arguments import above_zero
from tests.fuzz.target import CORPUS, INPUT_S, inputs, load, names, try_input

FOUND: Final = Path(".fuzz")
WORDS: Final = Path(__file__).with_name("words.dict")

SLOWER: Final = 10
"""Instrumented code is slower than what is served, and the machine may be busy."""

MEMORY_MB: Final = 2048

FIXED_ADDRESSES: Final = ("setarch", "-R")
"""Containers may forbid it."""

_NAMED_BY_ENGINE: Final = re.compile(r"[0-9a-f]{40}")

KEPT_BYTES_MAX: Final = 1024
"""A longer input is not kept: a shorter one of the same coverage is found sooner or later."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns how many targets broke."""
    given = _parse(arguments)
    if given.list:
        print(*names(), sep="\n")
        return 0
    chosen: list[str] = given.targets or names()
    if given.input is not None:
        for name in chosen:
            try_input(load(name), given.input.read_bytes())
        return 0
    seconds = max(1, round(given.seconds / len(chosen)))
    broken = [name for name in chosen if not fuzz(name, seconds, given.seed)]
    for name in chosen if given.keep else ():
        keep(name)
    print(f"{len(chosen)} targets, {seconds} s each; broken: {', '.join(broken) or 'none'}")
    return len(broken)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[*names(), []], metavar="TARGET")
    parser.add_argument("--seconds", type=above_zero, default=60.0, help="for all of them together")
    parser.add_argument("--seed", type=int, metavar="N", help="1 or more; else drawn by chance")
    parser.add_argument("--input", type=Path, help="try this one input, without the engine")
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus")
    parser.add_argument("--list", action="store_true", help="name the targets")
    given = parser.parse_args(arguments)
    if given.seed is not None and given.seed < 1:
        parser.error("--seed must be 1 or more: the engine takes 0 for none")
    if given.seed is not None and given.keep:
        parser.error("--keep takes what a run without --seed has found")
    return given


def fuzz(name: str, seconds: int, seed: int | None = None) -> bool:
    """Fuzz one target for so long; returns whether it kept its promises."""
    FOUND.mkdir(exist_ok=True)
    with _folder(name, seed) as found:
        engine = _run(
            name,
            f"-max_total_time={seconds}",
            f"-timeout={INPUT_S * SLOWER:.0f}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={FOUND}/{name}-",
            f"-dict={WORDS}",
            "-print_final_stats=1",
            "-verbosity=0",
            *(() if seed is None else (f"-seed={seed}", "-entropic=0")),
            str(found),
            is_repeatable=seed is not None,
        )
    tried = engine.stderr.rpartition("number_of_executed_units:")[2].split(maxsplit=1)
    if engine.returncode == 0:
        print(f"{name}: {tried[0] if tried else '?'} inputs", flush=True)
        return True
    print(f"{name}: BROKEN\n{engine.stdout}{engine.stderr}", flush=True)
    return False


def keep(name: str) -> None:
    """Add to the corpus what covers more than it does, in as few inputs as will do."""
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    again = FOUND / f"{name}.sh"
    again.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.fuzz.engine {name} "$@"\n')
    again.chmod(0o700)
    _run(name, "-merge=1", str(kept), str(FOUND / name), program=again)
    for path in kept.iterdir():
        # What has a name was put there by somebody, who knows why.
        if path.stat().st_size > KEPT_BYTES_MAX and _NAMED_BY_ENGINE.fullmatch(path.name):
            path.unlink()
    print(f"{name}: {len(list(kept.iterdir()))} inputs are kept")


@contextmanager
def _folder(name: str, seed: int | None) -> Iterator[Path]:
    if seed is None:
        found = FOUND / name
        found.mkdir(parents=True, exist_ok=True)
        _lay_out(name, found)
        yield found
        return
    # What earlier runs have found would change what a seed draws.
    with TemporaryDirectory(prefix="relay-fuzz-") as folder:
        _lay_out(name, Path(folder))
        yield Path(folder)


def _lay_out(name: str, folder: Path) -> None:
    for each, data in inputs(name):
        (folder / each.replace(" ", "-")).write_bytes(data)


def _run(
    name: str, *options: str, program: Path | None = None, is_repeatable: bool = False
) -> subprocess.CompletedProcess[str]:
    environ = {} if program is None else {"FUZZ_PROGRAM": str(program.absolute())}
    before: Sequence[str] = ()
    if is_repeatable:
        # What the engine finds interesting depends on addresses, and on how a set of texts lies.
        environ["PYTHONHASHSEED"] = "0"
        before = FIXED_ADDRESSES if _works([*FIXED_ADDRESSES, "true"]) else ()
    return subprocess.run(
        [*before, sys.executable, "-m", "tests.fuzz.engine", name, *options],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, **environ},
    )


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
