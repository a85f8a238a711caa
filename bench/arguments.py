"""Numbers on the command line of a measurement: less than nothing of anything makes no sense."""

from __future__ import annotations

import argparse


def above_zero(given: str) -> float:
    """Return the number that was given. Raises `ArgumentTypeError` unless it is above 0."""
    number = _number(given)
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{given} is not a number above 0")
    return number


def count(given: str) -> int:
    """Return how many were asked for. Raises `ArgumentTypeError` unless it is 1 or more."""
    number = _number(given)
    if not 1.0 <= number < float("inf") or number % 1.0:
        raise argparse.ArgumentTypeError(f"{given} is not a count: 1, 2, 3, ...")
    return int(number)


def _number(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number") from None
