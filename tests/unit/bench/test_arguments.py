"""What is no number of anything is refused in words, before anything is started."""

from __future__ import annotations

import argparse

import pytest

from bench.arguments import above_zero, count
from bench.soak.__main__ import read_options


@pytest.mark.parametrize(("given", "number"), [("1", 1), ("20000", 20000), ("3e6", 3_000_000)])
def test_a_count_is_a_whole_number(given: str, number: int) -> None:
    """As a million is easier to write."""
    assert count(given) == number


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "many", "nan", "inf", ""])
def test_what_is_no_count_is_refused(given: str) -> None:
    """With what was given."""
    with pytest.raises(argparse.ArgumentTypeError, match=given or "''"):
        count(given)


@pytest.mark.parametrize("given", ["0", "-0.5", "soon", "nan", "inf"])
def test_what_is_no_time_is_refused(given: str) -> None:
    """With what was given."""
    assert above_zero("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match=given):
        above_zero(given)


def test_a_soak_of_no_time_is_refused_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    """It ended in a division by zero, after everything was under way."""
    with pytest.raises(SystemExit):
        read_options(["--minutes", "0"])
    assert "argument --minutes: 0 is not a number above 0" in capsys.readouterr().err
