"""What a scenario is, and what it has measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.faults.stage import Stage

_Sized = TypeVar("_Sized")


@dataclass(slots=True)
class Measured:
    """What came of one scenario."""

    figures: list[str] = field(default_factory=list)
    """Beside the target, in the report."""
    violations: list[str] = field(default_factory=list)
    """Where the relay has broken its word: the scenario has failed."""
    late: list[str] = field(default_factory=list)
    """Where a time or size was missed. It says something about this machine, too."""
    streams: int = 0
    sent: int = 0
    lost: int = 0

    @property
    def told(self) -> list[str]:
        """All figures; first of all what the ledger has counted."""
        counted = f"{self.lost} of {self.sent:,} chunks not shown, in {self.streams:,} streams"
        return [counted, *self.figures] if self.streams else self.figures

    def judged(self, verdict: Mapping[str, Any], *, whole: bool = True) -> None:
        """Take over what the ledger has found; `whole`: all answers must be."""
        self.violations += verdict["violations"]
        self.streams += verdict["streams"]
        self.sent += verdict["sent"]
        self.lost += verdict["lost"]
        if whole:
            self.violations += [f"acknowledged, not shown: {one}" for one in verdict["unshown"]]
            completed = verdict["outcomes"].get("completed", 0)
            self.need(completed == verdict["streams"], f"not all whole: {verdict['outcomes']}")

    def need(self, holds: object, what: str) -> None:
        """A promise of the relay: say what is wrong where it does not hold."""
        if not holds:
            self.violations.append(what)

    def within(self, what: str, value: float, limit: float, unit: str = "s") -> None:
        """A target: measured, shown, and marked where it is missed."""
        self.figures.append(f"{what} {value:,.3g} {unit}")
        if value > limit:
            self.late.append(f"{what} {value:,.3g} {unit}, target {limit:,g} {unit}")

    @property
    def result(self) -> str:
        """One word."""
        return "FAILED" if self.violations else "late" if self.late else "held"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    short: bool = False
    """The version that CI runs: the same faults, fewer of them."""
    chunks: int = 100_000
    """Of the scenario `weather`."""
    seed: int = 1

    @property
    def bots(self) -> int:
        """How many answers run at a time, where that does not matter."""
        return 4 if self.short else 10

    def of(self, full: _Sized, short: _Sized) -> _Sized:
        """Return one of the two."""
        return short if self.short else full


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the fault matrix, or a part of one."""

    name: str
    fault: str
    how: str
    target: str
    run: Callable[[Stage, Size], Awaitable[Measured]]
    in_short: bool = True
    """Whether the short version has it."""
    needs: tuple[str, ...] = ()
    """Programs from outside: `redis-server`, `postgres`, `iptables`, `faketime`."""
