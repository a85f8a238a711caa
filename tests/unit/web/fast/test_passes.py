"""One write per connection and pass of the event loop."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar

import pytest
from structlog.testing import capture_logs

from relay.web.fast.passes import MANY, Passes

NAME: ContextVar[str] = ContextVar("name", default="nobody")


class Loop:
    """Keeps what is to be called in the next pass."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object], *, context: Context) -> None:
        """Keep it."""
        self.calls.append(lambda: context.run(callback))

    def turn(self) -> None:
        """One pass."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


@pytest.fixture
def loop() -> Loop:
    """A loop that turns by hand."""
    return Loop()


def test_all_that_gathers_in_a_pass_is_called_with_one_call_of_the_loop(loop: Loop) -> None:
    """In the order in which it was asked for, once for each time."""
    passes, called = Passes(loop.call_soon), list[str]()
    for name in "abca":
        passes.soon(lambda name=name: called.append(name))  # type: ignore[misc]
    assert (len(loop.calls), called) == (1, [])
    loop.turn()
    assert called == ["a", "b", "c", "a"]
    assert loop.calls == []


def test_what_is_asked_for_meanwhile_waits_for_the_next_pass(loop: Loop) -> None:
    """Else two that answer each other would hold the loop for ever."""
    passes, called = Passes(loop.call_soon), list[str]()

    def again() -> None:
        called.append("again")
        if len(called) < 3:
            passes.soon(again)

    passes.soon(again)
    loop.turn()
    assert (len(called), len(loop.calls)) == (1, 1)
    loop.turn()
    assert len(called) == 2


def test_the_failure_of_one_does_not_keep_the_others_from_writing(loop: Loop) -> None:
    """It is logged, and nothing else happens."""
    passes, called = Passes(loop.call_soon), list[str]()

    def fail() -> None:
        raise RuntimeError

    passes.soon(fail)
    passes.soon(lambda: called.append("b"))
    with capture_logs() as logs:
        loop.turn()
    assert called == ["b"]
    assert [line["event"] for line in logs] == ["write_failed"]
    passes.soon(lambda: called.append("c"))
    loop.turn()
    assert called == ["b", "c"]


def test_what_is_written_carries_nobodys_names(loop: Loop) -> None:
    """Whoever asked first in a pass does not name the log lines of the others."""
    passes, seen = Passes(loop.call_soon), list[str]()
    token = NAME.set("somebody")
    passes.soon(lambda: seen.append(NAME.get()))
    NAME.reset(token)
    loop.turn()
    assert seen == ["nobody"]


def test_of_a_long_pass_it_is_written_once_many_wait(loop: Loop) -> None:
    """What was read first does not wait for what is read last; what is left is written as ever."""
    passes, called = Passes(loop.call_soon), list[int]()
    for number in range(MANY + 1):
        passes.soon(lambda number=number: called.append(number))  # type: ignore[misc]
        if number == MANY - 2:
            passes.relieve()
            assert called == []
    passes.relieve()
    assert called == list(range(MANY + 1))
    passes.soon(lambda: called.append(-1))
    assert len(loop.calls) == 1, "one call of the loop is enough for a pass"
    loop.turn()
    assert called == [*range(MANY + 1), -1]
    passes.soon(lambda: called.append(-2))
    loop.turn()
    assert called[-1] == -2


def test_what_is_written_in_mid_pass_carries_nobodys_names(loop: Loop) -> None:
    """It is called by whoever has read the most, and does not belong to them."""
    passes, seen = Passes(loop.call_soon), list[str]()
    token = NAME.set("somebody")
    for _ in range(MANY):
        passes.soon(lambda: seen.append(NAME.get()))
    passes.relieve()
    NAME.reset(token)
    assert seen == ["nobody"] * MANY
