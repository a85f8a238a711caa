"""The programs from outside Python that some tests run: found where they are, not started here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

JS = Path(__file__).parent / "js"

# Where Debian puts programs that it keeps off PATH.
ELSEWHERE = {
    "postgres": "/usr/lib/postgresql/*/bin",
    "initdb": "/usr/lib/postgresql/*/bin",
    "iptables": "/usr/sbin",
    "nginx": "/usr/sbin",
}


def is_ci() -> bool:
    """Whether CI runs the tests; there, what is missing is a failure."""
    return os.environ.get("CI") == "true"


def find_program(name: str) -> Path | None:
    """Return the path of a program, or None where this machine has none; the newest of several."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    candidates = (
        Path("/").glob(f"{ELSEWHERE[name].lstrip('/')}/{name}") if name in ELSEWHERE else ()
    )
    return max(candidates, default=None, key=_version)


def what_is_missing(tool: str, *, js: Path = JS) -> str | None:
    """Say what must be installed before a test can run `tool`; None where all is there."""
    if find_program(tool) is None:
        return f"{tool} is not installed"
    if tool == "node" and not (js / "node_modules").is_dir():
        return "the packages of tests/js are not installed"
    return None


def _version(program: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in program.parts if part.isdigit())
