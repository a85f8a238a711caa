from __future__ import annotations

import pytest

from relay_sdk.backoff import Backoff


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999])
def test_no_bot_tries_more_than_five_times_in_ten_seconds(random: float) -> None:
    """A storm after a restart stays one, whatever the jitter says."""
    backoff = Backoff(lambda: random)
    at = 0.0
    tries = 0
    while (at := at + backoff.next_delay()) <= 10.0:
        tries += 1
    assert tries <= 5


def test_the_first_delay_is_only_jitter() -> None:
    """Within 250 ms the bot is back, long before the relay's 2 s are over."""
    assert Backoff(lambda: 0.0).next_delay() == 0.0
    assert Backoff(lambda: 0.999).next_delay() < 0.25


def test_delays_double_up_to_the_cap() -> None:
    """0.5, 1, 2, 4, 8, 15, 15 ... seconds, shortened by at most a quarter."""
    backoff = Backoff(lambda: 0.0)
    delays = [backoff.next_delay() for _ in range(8)]
    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_a_bot_with_an_answer_is_back_before_the_relay_gives_it_up() -> None:
    """Never more than 6 s between two attempts, and still at most five of them in ten seconds."""
    backoff = Backoff(lambda: 0.0)
    assert [backoff.next_delay(6.0) for _ in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 6.0]
    early = Backoff(lambda: 0.999)
    assert sum(early.next_delay(6.0) for _ in range(6)) > 10.0


def test_bots_do_not_come_back_together() -> None:
    """Even at the cap the jitter keeps them apart."""
    early, late = Backoff(lambda: 0.999), Backoff(lambda: 0.0)
    delays = [(round(early.next_delay(), 1), late.next_delay()) for _ in range(100)]
    assert delays[-1] == (11.3, 15.0)


def test_a_bot_that_is_told_when_to_come_back_is_not_there_earlier() -> None:
    """And not all at once either; what no relay says is not believed."""
    early, late = Backoff(lambda: 0.0), Backoff(lambda: 0.999)
    assert early.next_delay(told_s=5.0) == 5.0
    assert 6.0 < late.next_delay(2.0, told_s=5.0) < 6.25
    assert early.next_delay(told_s=86_400.0) == 60.0


def test_after_a_subscription_the_delays_start_anew() -> None:
    """A bot that was connected for a day comes back as fast as a new one."""
    backoff = Backoff(lambda: 0.0)
    for _ in range(5):
        backoff.next_delay()
    backoff.reset()
    assert [backoff.next_delay(), backoff.next_delay()] == [0.0, 0.5]
