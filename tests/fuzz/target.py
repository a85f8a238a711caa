"""What a fuzz target is, and how its inputs are found and tried. Needs no engine.

A target is one file in `targets/`. Its `check` takes any bytes and fails where a parser breaks its
promise; its seeds are made from our own valid messages; what fuzzing found lies in `corpus/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
CORPUS: Final = HERE / "corpus"

INPUT_S: Final = 0.5
"""What one input may take of a core. The slowest honest one takes 20 ms."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, or two that belong together."""

    check: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    """Valid inputs, from which the engine sets out."""
    bytes_max: int = 4096
    """Longer inputs find nothing more; what a length costs has a test of its own."""
    long_bytes: int = 262_144
    """How long an input is for that: what a frame may have, or a chunk; 0 where it has a limit."""


def names() -> list[str]:
    """Return the name of every target."""
    return sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))


def load(name: str) -> Target:
    """Return a target. Raises `ModuleNotFoundError` for a name that none has."""
    target = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


def inputs(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield each kept input of a target with its name: the seeds, then the corpus."""
    for number, seed in enumerate(load(name).seeds()):
        yield f"seed {number}", seed
    folder = CORPUS / name
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            yield path.name, path.read_bytes()


def try_input(target: Target, data: bytes) -> None:
    """Check one input, and that it takes no longer than it may."""
    started = time.process_time()
    target.check(data)
    taken = time.process_time() - started
    assert taken < INPUT_S, f"this input takes {taken:.1f} s of a core"
