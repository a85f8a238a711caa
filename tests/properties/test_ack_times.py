"""When sequences were acknowledged, compared with a dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.node.record import AckTimes

RUNS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4)), max_size=20)


@given(runs=RUNS, stop=st.integers(0, 30), early=st.integers(0, 30))
def test_the_first_time_of_each_sequence_is_kept(
    runs: list[tuple[int, int]], stop: int, early: int
) -> None:
    """In whatever order, and however often, they are acknowledged; or until they are forgotten."""
    times, expected = AckTimes(), dict[int, float]()
    for at, (first, more) in enumerate(runs):
        times.note(first, first + more, float(at))
        for sequence in range(first, first + more + 1):
            expected.setdefault(sequence, float(at))
    assert dict(times.items()) == expected
    assert times.newest == max(expected.values(), default=None)
    assert [times.get(number) for number in range(30)] == [expected.get(n) for n in range(30)]
    times.forget(stop, ((early, early + 2),))
    assert dict(times.items()) == {
        number: at
        for number, at in expected.items()
        if number < stop or early <= number <= early + 2
    }
