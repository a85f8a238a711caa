"""Whether a relay stayed flat, and whether it came back to where it began. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was so at one moment: figures by name, `at` in seconds since the crowd came."""

    at: float
    values: Values


@dataclass(frozen=True, slots=True)
class Limit:
    """How much one figure may grow from the warm-up's end to the crowd's end.

    By `share` of its median, and never less than `floor`: noise of a small figure is no leak.
    """

    name: str
    share: float
    floor: float

    def allowed(self, typical: float) -> float:
        """Return the growth that is allowed where the median is `typical`."""
        return max(self.floor, self.share * typical)


@dataclass(frozen=True, slots=True)
class Trend:
    """How one figure moved."""

    limit: Limit
    typical: float
    lowest: float
    highest: float
    grown: float
    """By the fitted line, over the judged time."""

    @property
    def allowed(self) -> float:
        """How much it may have grown."""
        return self.limit.allowed(self.typical)

    @property
    def flat(self) -> bool:
        """Whether it grew by no more than that."""
        return self.grown <= self.allowed


@dataclass(frozen=True, slots=True)
class Return:
    """Whether one figure is back where it was before the first client."""

    name: str
    before: float
    after: float

    @property
    def back(self) -> bool:
        """Whether nothing is left over."""
        return self.after <= self.before


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median of the slopes between all pairs of points (Theil and Sen).

    A third of the points may be anything without moving it far, so a burst is no trend.
    """
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    if not slopes:
        raise ValueError("a slope needs two moments")
    return median(slopes)


def trends(samples: Sequence[Sample], limits: Sequence[Limit], warmup_s: float) -> list[Trend]:
    """Judge each figure by its samples behind the warm-up; there must be at least two."""
    judged = [sample for sample in samples if sample.at >= warmup_s]
    span = judged[-1].at - judged[0].at
    found = []
    for limit in limits:
        points = [(sample.at, sample.values[limit.name]) for sample in judged]
        values = [value for _, value in points]
        grown = slope(points) * span
        found.append(Trend(limit, median(values), min(values), max(values), grown))
    return found


def returns(before: Values, after: Values, names: Sequence[str]) -> list[Return]:
    """Compare these figures at rest, before the first client and behind the last."""
    return [Return(name, before[name], after[name]) for name in names]


def faults(found: Sequence[Trend], back: Sequence[Return]) -> Iterator[str]:
    """Yield what is wrong, in words; nothing where all is well."""
    for trend in found:
        if not trend.flat:
            name, allowed = trend.limit.name, trend.allowed
            yield f"{name} grew by {trend.grown:.1f}, and {allowed:.1f} would be flat"
    for one in back:
        if not one.back:
            yield f"{one.name} is at {one.after:g} behind the last client and was at {one.before:g}"
