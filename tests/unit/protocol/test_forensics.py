from __future__ import annotations

import pytest

from relay.protocol.forensics import (
    Arrival,
    Delays,
    LossPosition,
    RepairedBy,
    Tally,
    locate,
    measure,
)
from relay.protocol.rangeset import Ranges, RangeSet

HEAD, MIDDLE, TAIL, MIXED = LossPosition


@pytest.mark.parametrize(
    ("missing", "total", "position"),
    [
        ((), 60, None),
        (((0, 0),), 60, HEAD),
        (((0, 14),), 60, HEAD),
        (((14, 15),), 60, MIXED),
        (((15, 15),), 60, MIDDLE),
        (((15, 44),), 60, MIDDLE),
        (((44, 45),), 60, MIXED),
        (((45, 45),), 60, TAIL),
        (((57, 59),), 60, TAIL),
        (((0, 0), (59, 59)), 60, MIXED),
        (((0, 0), (30, 30)), 60, MIXED),
        (((30, 30), (59, 59)), 60, MIXED),
        (((20, 20), (40, 40)), 60, MIDDLE),
        (((0, 59),), 60, MIXED),
        (((0, 0),), 4, HEAD),
        (((1, 2),), 4, MIDDLE),
        (((3, 3),), 4, TAIL),
    ],
)
def test_a_loss_lies_in_one_part_or_is_mixed(
    missing: Ranges, total: int, position: LossPosition | None
) -> None:
    """First quarter, last quarter, all between; at the edges exactly."""
    assert locate(missing, total) is position


@pytest.mark.parametrize("total", range(1, 10))
def test_a_single_loss_is_located_as_the_definition_says(total: int) -> None:
    """Of few chunks too, where the reference's integer quarters went wrong.

    A chunk is head where it begins in the first quarter, and tail where it ends in the last.
    """
    for lost in range(total):
        expected = HEAD if lost / total < 0.25 else TAIL if (lost + 1) / total > 0.75 else MIDDLE
        assert locate(RangeSet([lost]).ranges(), total) is expected


def test_the_delays_are_measured_from_the_arrivals() -> None:
    """First chunk - request, mean gap by arrival, end - last chunk before it; in seconds."""
    arrivals = [Arrival(0, 11.0, 1), Arrival(2, 11.5, 1), Arrival(1, 12.0, 1)]
    assert measure(arrivals, 10.0, 12.25) == Delays(1.0, 0.5, 0.25)


def test_a_chunk_behind_the_end_does_not_shorten_the_last_delay() -> None:
    """It was overtaken; the delay is that of the last chunk before the end."""
    arrivals = [Arrival(0, 11.0, 1), Arrival(1, 13.0, 1)]
    assert measure(arrivals, 10.0, 12.0) == Delays(1.0, 2.0, 1.0)
    assert measure(arrivals, 10.0, 10.5).last_chunk_s is None


def test_what_cannot_be_measured_is_none() -> None:
    """No chunk, one chunk, no end."""
    assert measure([], 10.0, 12.0) == Delays(None, None, None)
    assert measure([Arrival(0, 11.0, 1)], 10.0, None) == Delays(1.0, None, None)


@pytest.mark.parametrize(
    ("repaired", "retransmitted", "by"),
    [
        (False, False, None),
        (False, True, RepairedBy.RETRANSMIT),
        (True, False, RepairedBy.SUMMARY),
        (True, True, RepairedBy.SUMMARY),
    ],
)
def test_the_last_resort_names_the_repair(
    repaired: bool, retransmitted: bool, by: RepairedBy | None
) -> None:
    """A summary's text is further from the bot's chunks than a chunk that was sent again."""
    assert Tally(repaired=repaired, retransmitted=retransmitted).repaired_by is by
