"""What somebody is told who may not have more."""

from __future__ import annotations

import pytest

from relay.errors import Overloaded, RateLimited
from relay.limits.refusal import Limit, Refusal, refuse_for
from relay.settings import Settings


@pytest.mark.parametrize("limit", Limit)
def test_every_limit_has_words_for_who_reached_it(limit: Limit) -> None:
    """They say what there is too much of, and when to come back."""
    error = Refusal(limit, 7).error()
    assert error.message.endswith("; try again in 7 s")
    assert error.retry_after_s == 7


def test_the_relays_own_limit_is_not_the_callers() -> None:
    """The first says 503 and the others 429, and those name the limit."""
    assert isinstance(Refusal(Limit.CONNECTIONS).error(), Overloaded)
    error = Refusal(Limit.ASKS_PER_KEY).error()
    assert isinstance(error, RateLimited)
    assert error.limit == "asks_per_key"


@pytest.mark.parametrize(("wait_s", "told"), [(0.001, 1), (1.0, 1), (1.1, 2), (30.0, 30)])
def test_retry_after_is_whole_seconds_and_at_least_one(wait_s: float, told: int) -> None:
    """Who came back earlier would be refused again."""
    assert refuse_for(Limit.ASKS_PER_KEY, wait_s).retry_after_s == told


def test_a_limit_bears_the_name_of_its_setting() -> None:
    """An operator who reads a metric knows what to change; that of the whole relay ends in max."""
    names = {limit.value for limit in Limit} - {Limit.CONNECTIONS.value}
    assert names <= set(Settings.__dataclass_fields__)
