from __future__ import annotations

from itertools import combinations

from relay.protocol.status import Outcome, Status


def test_the_stages_follow_each_other_in_one_order() -> None:
    """Failure dominates; `max` is the whole transition table."""
    order = [Status.PENDING, Status.ACTIVE, Status.ENDING, Status.COMPLETED, Status.ANOMALY]
    assert sorted(Status) == order
    assert all(max(low, high) is high for low, high in combinations(order, 2))


def test_a_status_is_called_in_the_trace_as_here() -> None:
    """Lower case, the words of the reference's column."""
    assert [s.label for s in Status] == ["pending", "active", "ending", "completed", "anomaly"]


def test_the_outcomes_are_the_words_of_the_wire() -> None:
    """docs/protocol.md lists what `stream_closed` may say; three more end one unasked."""
    documented = {
        *("completed", "repaired", "incomplete", "failed"),
        *("idle", "bot_gone", "cancelled", "lost"),
    }
    unasked = {"bot_offline", "unbound", "bound"}
    assert {str(outcome) for outcome in Outcome} == documented | unasked
