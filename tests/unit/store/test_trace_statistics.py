from __future__ import annotations

import math

import pytest

from relay.errors import BadRequest
from relay.store import trace_statistics, traces
from relay.store.engine import Database
from relay.store.trace_statistics import statistics
from tests.support.store import NOW, trace_row
from tests.support.trace_archive import check_statistics


async def test_they_are_what_plain_python_says(database: Database) -> None:
    """Over several spans and steps, with bounds that fall on traces."""
    await check_statistics(database)


async def test_percentiles_are_of_the_newest_and_counts_of_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample is bounded and says how large it is."""
    monkeypatch.setattr(trace_statistics, "SAMPLE_MAX", 7)
    monkeypatch.setattr(trace_statistics, "SAMPLE_STEP", 3)
    rows = [trace_row(n, first_chunk_delay=n) for n in range(20)]
    await traces.upsert_batch(database, rows, now=NOW)
    found = await statistics(database, NOW, NOW + 20, 1)
    assert (found.streams, found.sampled) == (20, 7)
    assert found.first_chunk.p50 == 16


@pytest.mark.parametrize(
    ("since", "until", "step", "field"),
    [
        (10, 10, 1, "until"),
        (10, 9, 1, "until"),
        (0, 32 * 86400, 3600, "until"),
        (0, 86400, 1, "step"),
        (0, 86400, 0, "step"),
        (0, 86400, -5, "step"),
        (0, 86400, math.nan, "step"),
        (0, 86400, math.inf, "step"),
        (math.nan, 5, 1, "since"),
        (0, math.inf, 1, "until"),
        (-1e18, 5, 1, "since"),
    ],
)
async def test_an_impossible_span_is_refused(
    database: Database, since: float, until: float, step: float, field: str
) -> None:
    """Empty, endless, too long, or of too many steps: the message says what can be asked."""
    with pytest.raises(BadRequest) as refused:
        await statistics(database, since, until, step)
    assert refused.value.field == field
