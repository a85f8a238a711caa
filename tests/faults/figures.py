"""Numbers of a sample."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so many percent of all do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)] if ordered else 0.0


def delays_ms(
    timeline: Iterable[Mapping[str, Any]], since: float = -math.inf, until: float = math.inf
) -> list[float]:
    """Return how long each chunk took from its bot to each device that was shown it in this span.

    `timeline` is the ledger's; `since` and `until` are seconds of the monotonic clock.
    """
    return [
        (at - dict(stream["sent"])[sequence]) * 1000
        for stream in timeline
        for shown in stream["shown"]
        for sequence, at in shown
        if since <= at <= until
    ]


def cpu_s(pid: int) -> float:
    """Return how long a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
