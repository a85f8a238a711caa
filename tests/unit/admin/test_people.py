"""What a key may open, and what is printed of a secret."""

from __future__ import annotations

import pytest

from relay.admin.people import EVERYTHING, BindingRecord, Made, Scope


@pytest.mark.parametrize(
    ("scope", "within"),
    [
        (EVERYTHING, True),
        (Scope(agents=frozenset({"a1"}), bots=frozenset({1}), users=frozenset({"u1"})), True),
        (Scope(agents=frozenset({"a2"})), False),
        (Scope(bots=frozenset({2})), False),
        (Scope(users=frozenset({"u2"})), False),
        (Scope(agents=frozenset({"a1"}), users=frozenset({"u2"})), False),
        (Scope(users=frozenset()), False),
    ],
)
def test_a_scope_covers_what_every_one_of_its_lists_names(scope: Scope, within: bool) -> None:
    """No list is no condition; an empty list lets nothing through."""
    assert scope.covers(agent_id="a1", bot_id=1, user_id="u1") is within


def test_a_user_without_a_bot_is_outside_of_a_scope_of_bots() -> None:
    """There is no bot that the list could name."""
    assert not Scope(bots=frozenset({1})).covers(agent_id="a1", bot_id=None, user_id="u1")
    assert Scope(users=frozenset({"u1"})).covers(agent_id="a1", bot_id=None, user_id="u1")


def test_a_new_secret_is_not_printed() -> None:
    """What is logged by accident does not hold it."""
    record = BindingRecord(1, 1, "ABCD", 0.0, 1.0, None, None, None)
    assert "ABCDEFGH" not in repr(Made(record, "ABCDEFGH"))
