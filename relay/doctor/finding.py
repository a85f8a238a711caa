"""What the doctor says about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    """It works, and will not always."""
    FAIL = "fail"
    """The relay does not work so, or loses what it promises to keep."""
    SKIP = "skip"
    """Nobody looked: it cannot be seen from here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` says what to do; empty where there is nothing to do."""

    area: str
    level: Level
    what: str
    mend: str = ""


def fine(area: str, what: str) -> Finding:
    """Return that all is well."""
    return Finding(area, Level.OK, what)


def warning(area: str, what: str, mend: str) -> Finding:
    """Return something that may do harm."""
    return Finding(area, Level.WARN, what, mend)


def failure(area: str, what: str, mend: str) -> Finding:
    """Return something that has to be mended."""
    return Finding(area, Level.FAIL, what, mend)


def unseen(area: str, what: str, mend: str = "") -> Finding:
    """Return something that could not be looked at; `mend` says how to look at it otherwise."""
    return Finding(area, Level.SKIP, what, mend)
