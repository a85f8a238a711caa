from __future__ import annotations

import pytest

from bench.startup import ADDED, FRESH, READY, Took, measure, run_python, table


def test_each_start_is_measured_once_in_each_turn() -> None:
    """The first turn only warms up. All of it takes time; how much is nobody's promise."""
    found = measure(1)
    assert list(found) == [READY, FRESH, *ADDED]
    assert all(len(runs) == 1 and runs[0].cpu_s > 0 for runs in found.values())
    # It does so much more that no hiccup of the machine reverses them.
    assert found[READY][0].cpu_s > run_python("pass").cpu_s


def test_a_program_that_fails_is_not_measured() -> None:
    """Its figures would look good."""
    with pytest.raises(SystemExit, match="import nothing_of_that_name fails"):
        run_python("import nothing_of_that_name")


def test_figures_are_medians_in_milliseconds() -> None:
    """A row says how far the runs lie apart, and above what it counts."""
    runs = [Took(0.3, 0.2), Took(0.9, 0.1), Took(0.4, 0.3)]
    lines = table({READY: runs, "`import relay_sdk`": runs}).splitlines()[2:]
    assert lines == [
        "| `relay serve` until it listens | 400 | 300 to 900 | 200 |",
        "| `import relay_sdk`, above Python alone | 400 | 300 to 900 | 200 |",
    ]
