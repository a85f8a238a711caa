"""Whether a relay stayed flat, and whether it came back to where it began. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import inf, sqrt
from statistics import fmean, median
from typing import Final

Values = Mapping[str, float]

SURE: Final = 3.0
"""So many standard errors are told apart from noise: by chance it is one figure in 700."""

ALIKE_MAX: Final = 0.99
"""How alike neighbours may be taken to be: of samples that are all alike one would be left."""


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
    error: float = 0.0
    """The standard error of `grown`, by how the samples swing around the line."""

    @property
    def noise(self) -> float:
        """How much it may seem to have grown by chance."""
        return SURE * self.error

    @property
    def allowed(self) -> float:
        """How much it may have grown."""
        return self.limit.allowed(self.typical)

    @property
    def flat(self) -> bool:
        """Whether it grew by no more than that, or than it may seem to by chance."""
        return self.grown <= max(self.allowed, self.noise)


@dataclass(frozen=True, slots=True)
class Return:
    """Whether one figure is back where it was before the first client."""

    name: str
    before: float
    after: float
    later: float | None = None
    """What it was at the last look: that tells what is late from what is kept for ever."""

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


def growth_error(points: Sequence[tuple[float, float]], rise: float) -> float:
    """Return the standard error of what a line of this slope grows by from first to last point.

    Samples that follow each other are alike: a relay that is busy now is so 3 s later. So `n` of
    them tell as much as `n (1 - r) / (1 + r)` that are independent, where `r` is how alike
    neighbours are (the autocorrelation of what the line leaves). A short run has few samples,
    a run with one step has few that are independent, and both get a large error.
    """
    if len(points) < 3:
        return inf
    left = [value - rise * at for at, value in points]
    middle = fmean(left)
    left = [value - middle for value in left]
    square = sum(value * value for value in left)
    if square == 0:
        return 0.0
    alike = sum(a * b for a, b in pairwise(left)) / square
    # A fitted line takes some of it with it, the more the fewer samples there are (Kendall, 1954).
    alike += (1 + 4 * alike) / len(points)
    alike = min(max(alike, 0.0), ALIKE_MAX)
    independent = max(2.0, len(points) * (1 - alike) / (1 + alike))
    when = fmean(at for at, _ in points)
    spread = sum((at - when) ** 2 for at, _ in points)
    span = points[-1][0] - points[0][0]
    return span * sqrt(square / spread / independent)


def trends(samples: Sequence[Sample], limits: Sequence[Limit], warmup_s: float) -> list[Trend]:
    """Judge each figure by its samples behind the warm-up; there must be at least two."""
    judged = [sample for sample in samples if sample.at >= warmup_s]
    span = judged[-1].at - judged[0].at
    found = []
    for limit in limits:
        points = [(sample.at, sample.values[limit.name]) for sample in judged]
        values = [value for _, value in points]
        rise = slope(points)
        found.append(
            Trend(
                limit,
                median(values),
                min(values),
                max(values),
                rise * span,
                growth_error(points, rise),
            )
        )
    return found


def returns(
    before: Values, after: Values, names: Sequence[str], later: Values | None = None
) -> list[Return]:
    """Compare these figures at rest, before the first client and behind the last."""
    last = after if later is None else later
    return [Return(name, before[name], after[name], last[name]) for name in names]


def more_of(prefix: str, before: Values, after: Values, later: Values) -> list[Return]:
    """Return those figures of this prefix that are above what they were, at the last look.

    What is above says where to search when the sum of them is not back. One that is not told is 0.
    """
    names = sorted(name for name in later if name.startswith(prefix))
    found = [Return(name, before.get(name, 0), after.get(name, 0), later[name]) for name in names]
    return [one for one in found if later[one.name] > one.before]


def faults(found: Sequence[Trend], back: Sequence[Return]) -> Iterator[str]:
    """Yield what is wrong, in words; nothing where all is well."""
    for trend in found:
        if not trend.flat:
            name, allowed = trend.limit.name, max(trend.allowed, trend.noise)
            yield f"{name} grew by {trend.grown:.1f}, and {allowed:.1f} would be flat"
    for one in back:
        if not one.back:
            told = (
                f"{one.name} is at {one.after:g} behind the last client and was at {one.before:g}"
            )
            yield (
                told if one.later in (None, one.after) else f"{told}; later it is at {one.later:g}"
            )
