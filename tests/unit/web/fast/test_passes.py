"""One write per connection and pass of the event loop."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from functools import partial

import pytest
from structlog.testing import capture_logs

from relay.web.fast.passes import MANY, SLICE, WAIT_S, Passes

NAME: ContextVar[str] = ContextVar("name", default="nobody")


class Loop:
    """Keeps what is to be called in the next pass."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.now = 0.0

    def time(self) -> float:
        """The time, in seconds."""
        return self.now

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
    passes, called = Passes(loop.call_soon, loop.time), list[str]()
    for name in "abca":
        passes.soon(lambda name=name: called.append(name))  # type: ignore[misc]
    assert (len(loop.calls), called) == (1, [])
    loop.turn()
    assert called == ["a", "b", "c", "a"]
    assert loop.calls == []


def test_what_is_asked_for_meanwhile_waits_for_the_next_pass(loop: Loop) -> None:
    """Else two that answer each other would hold the loop for ever."""
    passes, called = Passes(loop.call_soon, loop.time), list[str]()

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
    passes, called = Passes(loop.call_soon, loop.time), list[str]()

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
    passes, seen = Passes(loop.call_soon, loop.time), list[str]()
    token = NAME.set("somebody")
    passes.soon(lambda: seen.append(NAME.get()))
    NAME.reset(token)
    loop.turn()
    assert seen == ["nobody"]


def test_of_a_long_pass_it_is_written_once_many_wait(loop: Loop) -> None:
    """What was read first does not wait for what is read last; what is left is written as ever."""
    passes, called = Passes(loop.call_soon, loop.time), list[int]()
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
    passes, seen = Passes(loop.call_soon, loop.time), list[str]()
    token = NAME.set("somebody")
    for _ in range(MANY):
        passes.soon(lambda: seen.append(NAME.get()))
    passes.relieve()
    NAME.reset(token)
    assert seen == ["nobody"] * MANY


def test_of_very_many_a_slice_is_called_in_a_pass(loop: Loop) -> None:
    """Between two slices the loop reads its sockets; whoever asks meanwhile lines up behind."""
    passes, called = Passes(loop.call_soon, loop.time), list[int]()
    for number in range(2 * SLICE + 1):
        passes.soon(partial(called.append, number))
    loop.turn()
    assert called == list(range(SLICE))
    passes.soon(partial(called.append, -1))
    assert len(loop.calls) == 1, "one call of the loop is enough for a pass"
    loop.turn()
    assert called == list(range(2 * SLICE))
    passes.relieve()
    assert called == list(range(2 * SLICE)), "two are not many"
    loop.turn()
    assert called == [*range(2 * SLICE + 1), -1]
    assert loop.calls == []


def test_who_relieves_calls_a_slice_and_the_next_pass_the_rest(loop: Loop) -> None:
    """Who has read a chunk for very many readers does not keep the sockets waiting, either."""
    passes, called = Passes(loop.call_soon, loop.time), list[int]()
    for number in range(SLICE + 1):
        passes.soon(partial(called.append, number))
    passes.relieve()
    assert called == list(range(SLICE))
    loop.turn()
    assert called == list(range(SLICE + 1))
    assert loop.calls == []


def test_the_rest_of_a_slice_that_failed_is_called(loop: Loop) -> None:
    """Nobody is forgotten by an exception of somebody else."""
    passes, called = Passes(loop.call_soon, loop.time), list[int]()

    def fail() -> None:
        raise RuntimeError

    for number in range(SLICE):
        passes.soon(fail if number == SLICE - 1 else partial(called.append, number))
    passes.soon(partial(called.append, SLICE))
    with capture_logs() as logs:
        loop.turn()
        loop.turn()
    assert [line["event"] for line in logs] == ["write_failed"]
    assert called == [*range(SLICE - 1), SLICE]


def test_what_can_wait_is_written_in_a_pass_that_is_not_long(loop: Loop) -> None:
    """Behind what cannot, in its order, and no more of it than makes the pass a long one."""
    passes, called = Passes(loop.call_soon, loop.time), list[int]()
    for number in range(MANY + 1):
        passes.at_leisure(partial(called.append, number))
    assert len(loop.calls) == 1
    passes.soon(partial(called.append, -1))
    loop.turn()
    assert called == [-1, *range(MANY - 1)]
    assert len(loop.calls) == 1, "the loop does not sleep while somebody waits"
    loop.turn()
    assert called == [-1, *range(MANY + 1)]
    assert loop.calls == []


@pytest.mark.parametrize("relieved", [False, True])
def test_what_can_wait_waits_while_passes_are_long(loop: Loop, *, relieved: bool) -> None:
    """Wherever in the pass the others were called; and then for so long, and not for ever."""
    passes, called = Passes(loop.call_soon, loop.time), list[str]()

    def long_pass() -> None:
        for _ in range(MANY):
            passes.soon(partial(called.append, "soon"))
        if relieved:
            passes.relieve()
        called.clear()
        loop.turn()

    passes.at_leisure(partial(called.append, "first"))
    long_pass()
    loop.now += WAIT_S * 0.6
    long_pass()
    passes.at_leisure(partial(called.append, "second"))
    assert "first" not in called
    loop.now += WAIT_S * 0.6
    long_pass()
    assert called[-1:] == ["first"]
    long_pass()
    assert "second" not in called
    loop.turn()
    assert called[-1:] == ["second"]


def test_who_can_wait_and_fails_does_not_keep_the_others_from_writing(loop: Loop) -> None:
    """As where it cannot wait."""
    passes, called = Passes(loop.call_soon, loop.time), list[str]()

    def fail() -> None:
        raise RuntimeError

    passes.at_leisure(fail)
    passes.at_leisure(partial(called.append, "b"))
    with capture_logs() as logs:
        loop.turn()
    assert (called, [line["event"] for line in logs]) == (["b"], ["write_failed"])
