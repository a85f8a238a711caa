from __future__ import annotations

import pytest

from relay.admin.people import EVERYTHING, Scope
from relay.errors import BadRequest
from relay.store.scopes import NAMES_MAX, NOTHING, dump_scope, load_scope

SCOPES = (
    Scope(agents=frozenset({"a_b", "a:b", "a/b"})),
    Scope(bots=frozenset({2, 1})),
    Scope(users=frozenset()),
    Scope(frozenset({"智能体"}), frozenset({2**63 - 1}), frozenset({'"},{"'})),
)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_is_read_as_it_was_written(scope: Scope) -> None:
    """Whatever is in the ids; and an empty list stays empty: nothing, and not everything."""
    assert load_scope(dump_scope(scope)) == scope


def test_everything_is_no_scope_at_all() -> None:
    """So keys that are older than scopes open and read what they did."""
    assert dump_scope(EVERYTHING) is None
    assert load_scope(None) == EVERYTHING


def test_one_scope_is_always_the_same_text() -> None:
    """Whatever the order of a set is today."""
    assert dump_scope(Scope(agents=frozenset("cab"), bots=frozenset({3, 20}))) == (
        '{"agents":["a","b","c"],"bots":[3,20]}'
    )


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "null",
        "{}",
        "{",
        "[]",
        '"everything"',
        '{"agents":null}',
        '{"agents":"a"}',
        '{"agents":["a",1]}',
        '{"users":[null]}',
        '{"bots":["1"]}',
        '{"bots":[true]}',
        '{"bots":[1.0]}',
        '{"bots":1}',
        '{"bots":[1],"rooms":[]}',
        '{"agent":["a"]}',
    ],
)
def test_a_scope_that_cannot_be_read_is_nothing(stored: str) -> None:
    """It fails closed: not even what could be read of it is allowed."""
    assert load_scope(stored) == NOTHING
    assert not load_scope(stored).covers(agent_id="a", bot_id=1, user_id="u")


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        (Scope(agents=frozenset({""})), "agents"),
        (Scope(agents=frozenset({"a\n"})), "agents"),
        (Scope(users=frozenset({"u" * 257})), "users"),
        (Scope(users=frozenset(map(str, range(NAMES_MAX + 1)))), "users"),
        (Scope(bots=frozenset({0})), "bots"),
        (Scope(bots=frozenset({2**63})), "bots"),
        (Scope(bots=frozenset(range(1, NAMES_MAX + 2))), "bots"),
    ],
)
def test_a_scope_of_what_cannot_be_is_refused(scope: Scope, field: str) -> None:
    """It could never cover a request, or would be too long to be looked at with each."""
    with pytest.raises(BadRequest) as caught:
        dump_scope(scope)
    assert caught.value.field == field
