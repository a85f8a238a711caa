from __future__ import annotations

from types import ModuleType

import pytest

from relay.protocol import forensics
from relay.protocol.forensics import Delays, LossPosition, Tally, locate, measure
from relay.protocol.rangeset import Ranges, RangeSet
from relay.protocol.report import Arrival, RepairedBy
from tests.support.mutants import Bug, plant

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


def by_definition(lost: set[int], total: int) -> str:
    """Where a loss lies, chunk by chunk: the first quarter ends at n/4, the last begins at 3n/4."""
    parts = {HEAD if 4 * s < total else TAIL if 4 * (s + 1) > 3 * total else MIDDLE for s in lost}
    return (parts.pop() if len(parts) == 1 else MIXED).value


def wrongly_located(module: ModuleType) -> list[tuple[set[int], int]]:
    """The losses of one or two chunks, of answers of up to 20, that a module places elsewhere."""
    return [
        ({first, last}, total)
        for total in range(1, 21)
        for last in range(total)
        for first in range(last + 1)
        if module.locate(RangeSet([first, last]).ranges(), total).value
        != by_definition({first, last}, total)
    ]


def test_a_loss_is_located_as_the_definition_says() -> None:
    """Of few chunks too, where the reference's integer quarters went wrong."""
    assert wrongly_located(forensics) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("4 * last < total", "4 * last <= total"),
        ("4 * (first + 1) > 3 * total", "4 * first > 3 * total"),
        ("4 * first >= total", "4 * first > total"),
        ("4 * (last + 1) <= 3 * total", "4 * last <= 3 * total"),
        ("first, last = missing[0][0], missing[-1][1]", "first, last = missing[0]"),
    ],
)
def test_an_off_by_one_in_the_location_would_be_caught(old: str, new: str) -> None:
    """Each boundary matters to some small answer."""
    assert wrongly_located(plant(Bug("off by one", "forensics", old, new))["forensics"])


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
    assert Tally(repaired=repaired, retransmitted=retransmitted).repaired_by(whole=True) is by


def test_what_was_asked_for_in_vain_repaired_nothing() -> None:
    """Some chunks came again and others never did: the loss stays a loss."""
    assert Tally(retransmitted=True).repaired_by(whole=False) is None
    assert Tally(repaired=True).repaired_by(whole=False) is RepairedBy.SUMMARY
