"""Timestamps as the reference writes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from math import floor

_BEIJING = timezone(timedelta(hours=8))


def beijing_iso(at: float) -> str:
    """Return `at` (Unix seconds) as ISO 8601 at +08:00 in whole seconds, rounded down.

    For example `"2026-02-27T16:41:05+08:00"`. It is for display: nothing is ever computed from it.
    """
    return _of_second(floor(at))


@lru_cache(maxsize=4)
def _of_second(second: int) -> str:
    """Mostly it is asked for the present second, by each of some thousand ACKs."""
    return datetime.fromtimestamp(second, tz=_BEIJING).isoformat(timespec="seconds")
