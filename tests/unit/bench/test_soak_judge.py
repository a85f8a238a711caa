"""The judge of a soak, on samples that are made: a planted leak is seen, a burst is none."""

from __future__ import annotations

from random import Random

import pytest

from bench.soak.__main__ import limits
from bench.soak.judge import Limit, Return, Sample, faults, returns, slope, trends

FIGURES = [limit.name for limit in limits(2.0)]
EVERY_S, LAST_S, WARMUP_S = 3.0, 1_800.0, 720.0


def samples(**leaks: float) -> list[Sample]:
    """Half an hour of a relay that swings; what leaks grows by so much an hour.

    Until the warm-up is over it fills up, as a relay does.
    """
    rng = Random(7)
    made = []
    for number in range(int(LAST_S / EVERY_S) + 1):
        at = number * EVERY_S
        filling = min(1.0, at / WARMUP_S)
        noise = {name: rng.gauss(0.0, 0.05) for name in FIGURES}
        made.append(
            Sample(
                at,
                {
                    name: 100.0 * filling * (1 + noise[name])
                    + leaks.get(name.replace(" ", "_"), 0.0) * at / 3_600
                    for name in FIGURES
                },
            )
        )
    return made


def grown(**leaks: float) -> set[str]:
    """The figures that the judge finds to grow."""
    found = trends(samples(**leaks), limits(2.0), WARMUP_S)
    return {one.limit.name for one in found if not one.flat}


def test_a_relay_that_only_swings_is_flat() -> None:
    """Noise of 5 % and a warm-up that fills everything are no growth."""
    assert grown() == set()


def test_a_planted_leak_of_memory_is_seen() -> None:
    """10 MB an hour are 3 MB in the judged 18 minutes; 2 MB are allowed."""
    assert grown(memory_MB=10.0) == {"memory MB"}


@pytest.mark.parametrize("name", ["tasks", "descriptors", "timers", "kept streams"])
def test_a_planted_leak_of_one_figure_is_seen_in_that_one(name: str) -> None:
    """One every ten seconds: 108 in the judged time."""
    assert grown(**{name.replace(" ", "_"): 360.0}) == {name}


def test_a_leak_of_less_than_the_limit_is_flat() -> None:
    """The limit is what is promised, so what lies below it is not called a leak."""
    assert grown(memory_MB=3.0) == set()


def test_a_burst_is_no_trend() -> None:
    """A fifth of the samples far above the rest, at the very end, moves the slope little."""
    points = [(float(n), 10.0 + n % 3 + (500.0 if n > 80 else 0.0)) for n in range(101)]
    assert abs(slope(points) * 100) < 10.0


def test_a_slope_is_that_of_a_straight_line() -> None:
    """Two a second, wherever it starts."""
    assert slope([(n * 0.5, 7.0 + n) for n in range(9)]) == 2.0
    with pytest.raises(ValueError, match="two moments"):
        slope([(1.0, 1.0)])


def test_only_samples_behind_the_warm_up_are_judged() -> None:
    """What grew before it and not since is flat."""
    rising = [Sample(float(n), {"tasks": min(n, 50)}) for n in range(101)]
    (one,) = trends(rising, [Limit("tasks", 0.0, 1.0)], warmup_s=50.0)
    assert (one.grown, one.lowest, one.flat) == (0.0, 50, True)
    (one,) = trends(rising, [Limit("tasks", 0.0, 1.0)], warmup_s=0.0)
    assert not one.flat


def test_what_is_left_over_is_not_back() -> None:
    """One task more than before the first client is a leak; one less is none."""
    back = returns({"tasks": 8, "sockets": 4}, {"tasks": 9, "sockets": 3}, ["tasks", "sockets"])
    assert [one.back for one in back] == [False, True]
    assert list(faults([], back)) == ["tasks is at 9 behind the last client and was at 8"]


def test_a_fault_says_how_much_it_grew_and_how_much_it_might() -> None:
    """In the words of the report."""
    found = trends(
        [Sample(0.0, {"rows": 0.0}), Sample(10.0, {"rows": 40.0})], [Limit("rows", 0.0, 5.0)], 0.0
    )
    assert list(faults(found, [Return("bots", 0, 0)])) == [
        "rows grew by 40.0, and 5.0 would be flat"
    ]
