"""Timestamps as the reference writes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from math import floor
from typing import Final

_BEIJING = timezone(timedelta(hours=8))


class _Newest:
    """The second that was asked for last, and its text: both at once, for there are threads."""

    __slots__ = ("second",)

    def __init__(self) -> None:
        self.second: tuple[float, str] = _text_of(0.0)


def beijing_iso(at: float) -> str:
    """Return `at` (Unix seconds) as ISO 8601 at +08:00 in whole seconds, rounded down.

    For example `"2026-02-27T16:41:05+08:00"`. It is for display: nothing is ever computed from it.
    Mostly it is asked for the present second, by each of some thousand ACKs.
    """
    begin, text = _newest.second
    if not begin <= at < begin + 1.0:
        begin, text = _newest.second = _text_of(at)
    return text


def _text_of(at: float) -> tuple[float, str]:
    second = floor(at)
    moment = datetime.fromtimestamp(second, tz=_BEIJING)
    return float(second), moment.isoformat(timespec="seconds")


_newest: Final = _Newest()
