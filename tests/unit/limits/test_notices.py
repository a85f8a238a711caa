"""What operators are told of limits that were reached."""

from __future__ import annotations

from collections import Counter

import pytest
from structlog.testing import capture_logs

from relay.limits.notices import EPISODE_S, EPISODES_MAX, Notices
from relay.limits.refusal import Kind, Limit

SOMEBODY = {"access_key_id": 7}


class Counted(Counter[tuple[Limit, Kind]]):
    """Numbers, as the metrics keep them."""

    def count(self, limit: Limit, kind: Kind) -> None:
        self[limit, kind] += 1


def test_every_refusal_is_counted_and_the_first_of_an_episode_is_logged() -> None:
    """A thousand refusals of one caller are one line."""
    counted = Counted()
    notices = Notices(counted.count)
    with capture_logs() as logs:
        for number in range(1_000):
            notices.refused(Limit.ASKS_PER_KEY, Kind.ASK, SOMEBODY, number * 0.01)
    assert counted == {(Limit.ASKS_PER_KEY, Kind.ASK): 1_000}
    assert logs == [
        {
            "event": "limit_reached",
            "log_level": "warning",
            "limit": "asks_per_key",
            "kind": "ask",
            "access_key_id": 7,
        }
    ]


def test_being_slowed_is_counted_and_logged_once_for_each_episode() -> None:
    """It lasts as long as the caller goes on, and begins again after a minute of peace."""
    counted = Counted()
    notices = Notices(counted.count)
    with capture_logs() as logs:
        for now in (0.0, 1.0, EPISODE_S, 2 * EPISODE_S, 3 * EPISODE_S + 0.1):
            notices.slowed(Limit.MESSAGES_PER_KEY, Kind.SOCKET, SOMEBODY, now)
    assert counted == {(Limit.MESSAGES_PER_KEY, Kind.SOCKET): 2}
    assert [line["event"] for line in logs] == ["caller_slowed", "caller_slowed"]


@pytest.mark.parametrize("other", [(Limit.ASKS_PER_KEY, {"bot_id": 7}), (Limit.CONNECTIONS, {})])
def test_another_caller_and_another_limit_are_other_episodes(
    other: tuple[Limit, dict[str, int]],
) -> None:
    """One who is at it hides nobody else."""
    notices = Notices()
    with capture_logs() as logs:
        notices.refused(Limit.ASKS_PER_KEY, Kind.ASK, SOMEBODY, 0.0)
        notices.refused(other[0], Kind.ASK, other[1], 0.0)
    assert len(logs) == 2


def test_no_more_episodes_are_kept_in_mind_than_may_be() -> None:
    """Whoever has a million addresses costs a thousand entries."""
    notices = Notices()
    with capture_logs():
        for number in range(3 * EPISODES_MAX):
            notices.refused(Limit.CONNECTIONS_PER_ADDRESS, Kind.ASK, {"address": str(number)}, 0.0)
    assert len(notices._latest) == EPISODES_MAX  # noqa: SLF001 - memory is what is tested
