"""What one WebSocket may say."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from relay.limits.bucket import BURST_S, Bucket
from relay.limits.budget import LOT_MESSAGES_MAX, PAUSE_MIN_S, Budget
from relay.limits.notices import EPISODE_S, Notices
from relay.limits.refusal import Limit, Refusal


def budget(*, messages: float = 100.0, size: float = 1_000.0, commands: float = 1.0) -> Budget:
    """A budget of a bot's, of so much a second."""
    return Budget(
        messages=[(Limit.MESSAGES_PER_KEY, Bucket(messages))],
        sizes=[(Limit.BYTES_PER_KEY, Bucket(size))],
        commands_per_s=commands,
        notices=Notices(),
        names={"bot_id": 3},
    )


def test_who_obeys_the_pauses_has_its_rate_and_loses_nothing() -> None:
    """Of 10,000 messages each is taken; behind the burst they take as long as their rate says."""
    now, said = 0.0, budget(messages=100.0, size=10**9)
    with capture_logs():
        for _ in range(10_000):
            now += said.charge(1, 100, now)
    assert now == pytest.approx(10_000 / 100.0 - BURST_S, abs=2 * PAUSE_MIN_S)


@pytest.mark.parametrize("messages", [1.0, 100.0, 20_000.0])
def test_small_messages_are_paid_for_too(messages: float) -> None:
    """In lots: of a bucket at most a 256th is said before it is paid for."""
    said, count = budget(messages=messages, size=10**9), 0
    with capture_logs():
        while said.charge(1, 1, 0.0) == 0.0:
            count += 1
    size = messages * BURST_S
    assert size <= count <= size * (1 + 1 / 256) + 1


def test_large_messages_are_paid_for_too() -> None:
    """However few there are."""
    said, count = budget(messages=10**9, size=1_000_000.0), 0
    with capture_logs():
        while said.charge(1, 1_000, 0.0) == 0.0:
            count += 1
    assert count == pytest.approx(5_000, rel=1 / 250)


def test_a_pause_is_never_shorter_than_a_timer_can_be() -> None:
    """At 100,000 a second a pause for each message would be 1 ms and not 10 us."""
    said = budget(messages=100_000.0, size=10**9)
    assert said.charge(500_000, 0, 0.0) == 0.0
    with capture_logs():
        assert said.charge(LOT_MESSAGES_MAX, 0, 0.0) == PAUSE_MIN_S
    assert said.charge(LOT_MESSAGES_MAX, 0, PAUSE_MIN_S) == 0.0


@pytest.mark.parametrize(
    ("messages", "size", "limit"), [(600, 1, "messages_per_key"), (1, 6_000, "bytes_per_key")]
)
def test_the_line_names_the_limit_and_the_bot_once(messages: int, size: int, limit: str) -> None:
    """However often it has to wait."""
    said = budget()
    with capture_logs() as logs:
        for number in range(10):
            assert said.charge(messages, size, number * EPISODE_S / 20) > 0.0
    assert [(line["event"], line["limit"], line["bot_id"]) for line in logs] == [
        ("caller_slowed", limit, 3)
    ]


def test_too_many_commands_end_a_connection_and_a_few_do_not() -> None:
    """Five at once at one a second; the next is refused with the time to come back."""
    said = budget()
    assert [said.command(0.0) for _ in range(5)] == [None] * 5
    with capture_logs() as logs:
        assert said.command(0.5) == Refusal(Limit.COMMANDS_PER_CONNECTION, 1)
    assert [line["event"] for line in logs] == ["limit_reached"]
    assert said.command(1.5) is None
