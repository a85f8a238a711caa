from __future__ import annotations

from statistics import quantiles

import pytest

from relay.store import trace_tally
from relay.store.trace_tally import Count, Tally, percentile, tell


@pytest.mark.parametrize("percent", [50, 99])
@pytest.mark.parametrize("values", [[3.0, 1.0], [5.0] * 7, [float(n * n) for n in range(101)]])
def test_a_percentile_is_interpolated(values: list[float], percent: int) -> None:
    """As Python's own, in any order of the values."""
    expected = quantiles(values, n=100, method="inclusive")[percent - 1]
    assert percentile(values, percent) == pytest.approx(expected, abs=0.001)


def test_a_percentile_of_one_value_is_that_value_and_of_none_there_is_none() -> None:
    """A stream that was never delivered has no delay, not one of 0."""
    assert percentile([1.25], 99) == 1.25
    assert percentile([], 50) is None


async def test_the_worst_bots_come_first_and_are_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the rate of loss, then by how much they do; the hours are those of the bots listed."""
    monkeypatch.setattr(trace_tally, "BOTS_MAX", 3)
    tally = Tally()
    for bot_id, streams, lossy in ((1, 100, 1), (2, 2, 1), (None, 4, 2), (4, 5, 0)):
        tally.bots[bot_id] = Count(streams, lossy)
        tally.hours[bot_id, 0] = streams
    told = await tell(tally, 0, 60, 60, [0], [0])
    assert [bot.bot_id for bot in told.bots] == [None, 2, 1]
    assert [hour.bot_id for hour in told.hours] == [1, 2, None]


async def test_without_streams_there_is_no_rate_to_divide_by() -> None:
    """And every interval is there for the drawing."""
    told = await tell(Tally(), 0, 120, 60, [0, 60], [0])
    assert (told.loss_rate, told.streams, told.sampled) == (0.0, 0, 0)
    assert [interval.start for interval in told.intervals] == [0, 60]
