"""Who reads a stream, and what was handed to them."""

from __future__ import annotations

import pytest

from relay.node.audience import Audience


@pytest.fixture
def audience() -> Audience:
    """A stream opened at 100; 30 s for devices that resume, 2 s for others."""
    return Audience(opened_at=100.0, resume_grace_s=30.0, hangup_grace_s=2.0)


def test_nobody_has_to_come_before_the_longer_grace_is_over(audience: Audience) -> None:
    """It is not known yet what kind of device will read."""
    assert (audience.readers, audience.deadline) == (0, 130.0)


@pytest.mark.parametrize(("can_resume", "grace_s"), [(True, 30.0), (False, 2.0)])
def test_the_grace_is_that_of_the_device(
    audience: Audience, can_resume: bool, grace_s: float
) -> None:
    """It runs from when the device left, and not while it reads."""
    audience.join(can_resume=can_resume)
    assert audience.deadline is None
    audience.leave(110.0)
    assert audience.deadline == 110.0 + grace_s


def test_the_last_reader_starts_the_grace(audience: Audience) -> None:
    """While another one reads, nothing is waited for."""
    audience.join(can_resume=True)
    audience.join(can_resume=True)
    audience.leave(105.0)
    assert audience.deadline is None
    audience.leave(110.0)
    assert audience.deadline == 140.0


def test_a_reader_that_comes_back_ends_the_grace(audience: Audience) -> None:
    """And the next absence is counted anew."""
    audience.join(can_resume=True)
    audience.leave(110.0)
    audience.join(can_resume=True)
    assert (audience.deadline, audience.absent_since) == (None, None)
    audience.leave(120.0)
    assert audience.deadline == 150.0


def test_an_abandoned_stream_has_no_deadline_until_somebody_comes(audience: Audience) -> None:
    """It is abandoned once, and a late reader ends that."""
    audience.abandoned = True
    assert audience.deadline is None
    audience.join(can_resume=False)
    assert not audience.abandoned
    audience.leave(200.0)
    assert audience.deadline == 202.0


def test_what_was_delivered_is_the_highest_offset_of_any_reader(audience: Audience) -> None:
    """A second reader that is behind takes nothing back and is no news."""
    assert audience.delivered == 0
    assert audience.hand_over(3, 101.0)
    assert not audience.hand_over(2, 102.0)
    assert not audience.hand_over(3, 103.0)
    assert audience.hand_over(5, 104.0)
    assert audience.delivered == 5


def test_each_offset_keeps_the_time_of_its_first_delivery(audience: Audience) -> None:
    """A replay to another device does not make the first one late."""
    audience.hand_over(2, 101.0)
    audience.hand_over(3, 102.0)
    audience.hand_over(3, 103.0)
    times = [audience.delivered_at(offset) for offset in range(5)]
    assert times == [None, 101.0, 101.0, 102.0, None]
