"""The judge of a soak, on samples that are made: a planted leak is seen, a burst is none."""

from __future__ import annotations

from random import Random

import pytest

from bench.soak.__main__ import KEPT, limits
from bench.soak.judge import Limit, Return, Sample, faults, more_of, returns, slope, trends

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
        noise["memory MB"] /= 5
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
    assert one.grown == 50.0


def swinging(seconds: float, swing: float, seed: int) -> list[float]:
    """Values around 0, every 3 s, each much like the one before it: busy moments last."""
    rng, value, made = Random(seed), 0.0, []
    for _ in range(int(seconds / EVERY_S) + 1):
        value = 0.8 * value + rng.gauss(0.0, 0.6 * swing)
        made.append(value)
    return made


def judged(seconds: float, warmup_s: float, values: list[float], name: str) -> list[str]:
    """What the judge says of one figure of a run that was so long."""
    made = [Sample(n * EVERY_S, {name: value}) for n, value in enumerate(values)]
    (limit,) = (limit for limit in limits(2.0, seconds) if limit.name == name)
    return list(faults(trends(made, [limit], warmup_s), []))


def test_a_short_run_that_swings_is_flat() -> None:
    """Two minutes in which rows go up and down by 200, and nothing more: in 95 of 100 runs."""
    runs = [[400 + v for v in swinging(120, 200.0, seed)] for seed in range(100)]
    assert sum(bool(judged(120, 48, values, "rows")) for values in runs) <= 5
    without_error = [trends_without_error(values) for values in runs]
    assert sum(grown > 150 for grown in without_error) > 25, "else the rule is not needed"


def trends_without_error(values: list[float]) -> float:
    """By how much the line of the same samples rises."""
    points = [(n * EVERY_S, value) for n, value in enumerate(values) if n * EVERY_S >= 48]
    return slope(points) * (points[-1][0] - points[0][0])


def test_one_step_is_no_growth() -> None:
    """A process that takes 7 MB at once for its busiest moment, and keeps them."""
    noise = swinging(LAST_S, 0.3, 1)
    values = [134.0 + v + (7.0 if n * EVERY_S > 1_400 else 0.0) for n, v in enumerate(noise)]
    assert judged(LAST_S, WARMUP_S, values, "memory MB") == []


def test_a_kilobyte_for_each_stream_is_growth() -> None:
    """4.4 streams a second for half an hour, in a process that swings by half a megabyte."""
    noise = swinging(LAST_S, 0.5, 2)
    values = [134.0 + v + 4.4 * n * EVERY_S / 1024 for n, v in enumerate(noise)]
    assert len(judged(LAST_S, WARMUP_S, values, "memory MB")) == 1


def test_a_broker_that_forgets_nothing_is_named_in_two_minutes() -> None:
    """By its logs, each time: one for each of 4 streams a second, beside those that come and go."""
    for seed in range(20):
        noise = swinging(120, 8.0, seed)
        kept = [50.0 + v for v in noise]
        assert judged(120, 48, kept, "logs") == []
        (told,) = judged(120, 48, [v + 4 * n * EVERY_S for n, v in enumerate(kept)], "logs")
        assert told.startswith("logs grew by ")
    assert list(faults([], returns({"logs": 0}, {"logs": 480}, KEPT[1:2]))) == [
        "logs is at 480 behind the last client and was at 0"
    ]


def test_what_is_only_late_is_told_apart_from_what_is_kept() -> None:
    """By the last look."""
    before, after = {"bots": 0, "tasks": 7}, {"bots": 1, "tasks": 8}
    back = returns(before, after, ["bots", "tasks"], {"bots": 0, "tasks": 8})
    assert list(faults([], back)) == [
        "bots is at 1 behind the last client and was at 0; later it is at 0",
        "tasks is at 8 behind the last client and was at 7",
    ]


def test_what_is_left_over_is_not_back() -> None:
    """One task more than before the first client is a leak; one less is none."""
    back = returns({"tasks": 8, "sockets": 4}, {"tasks": 9, "sockets": 3}, ["tasks", "sockets"])
    assert [one.back for one in back] == [False, True]
    assert list(faults([], back)) == ["tasks is at 9 behind the last client and was at 8"]


def test_tasks_that_are_left_over_are_named_by_what_they_are_at() -> None:
    """Also those that were told of none before; not what is as it was, less, or only late."""
    before = {"tasks in a": 1, "tasks in b": 2, "timers": 1}
    after = {"tasks in a": 2, "tasks in b": 2, "tasks in late": 1}
    later = {"tasks in a": 2, "tasks in b": 1, "tasks in c": 1, "timers": 5}
    assert more_of("tasks in ", before, after, later) == [
        Return("tasks in a", 1, 2, 2),
        Return("tasks in c", 0, 0, 1),
    ]


def test_a_fault_says_how_much_it_grew_and_how_much_it_might() -> None:
    """In the words of the report."""
    found = trends(
        [Sample(n * 5.0, {"rows": n * 20.0}) for n in range(3)], [Limit("rows", 0.0, 5.0)], 0.0
    )
    assert list(faults(found, [Return("bots", 0, 0)])) == [
        "rows grew by 40.0, and 5.0 would be flat"
    ]
