"""Percentiles of one run, and the median and spread of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of many latencies, in milliseconds."""

    p50: float
    p99: float
    max: float


def figures(values_ms: Sequence[float]) -> Figures:
    """Return the percentiles of at least one value, each one that was really measured."""
    ordered = sorted(values_ms)
    return Figures(_rank(ordered, 0.50), _rank(ordered, 0.99), ordered[-1])


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[ceil(len(ordered) * share) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def spread(runs: Sequence[float]) -> Spread:
    """Return the median of the runs, and their range."""
    return Spread(median(runs), min(runs), max(runs))
