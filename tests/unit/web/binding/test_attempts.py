from __future__ import annotations

from relay.clock import ManualClock
from relay.web.binding.attempts import Attempts


def attempts(limit: int = 3, **limits: int) -> tuple[Attempts, ManualClock]:
    """A counter for windows of ten seconds."""
    clock = ManualClock(1000.0)
    return Attempts(limit, window_s=10.0, now=clock.now, **limits), clock


def test_a_subject_has_so_many_attempts_and_no_more() -> None:
    """Each subject by itself."""
    counter, _ = attempts()
    assert [counter.take("a") for _ in range(5)] == [True, True, True, False, False]
    assert counter.take("b")


def test_the_window_is_counted_from_the_first_attempt() -> None:
    """Refused attempts do not make it longer."""
    counter, clock = attempts()
    for _ in range(3):
        counter.take("a")
        clock.advance(3)
    assert not counter.take("a")
    clock.advance(1)
    assert [counter.take("a") for _ in range(4)] == [True, True, True, False]


def test_an_attempt_that_succeeded_is_given_back() -> None:
    """It was no guess; nobody gets more than there were."""
    counter, _ = attempts()
    for _ in range(10):
        assert counter.take("a")
        counter.give_back("a")
    counter.give_back("a")
    counter.give_back("nobody")
    assert [counter.take("a") for _ in range(4)] == [True, True, True, False]


def test_what_is_kept_in_mind_is_bounded() -> None:
    """The oldest window makes room, and those that are over go first."""
    counter, clock = attempts(1, subjects_max=3)
    for name in ("a", "b", "c", "d"):
        assert counter.take(name)
        clock.advance(1)
    assert counter.take("a")
    assert not counter.take("d")
    assert len(counter._begun) == 3  # noqa: SLF001 - its size is what is tested
    clock.advance(60)
    assert counter.take("e")
    assert len(counter._begun) == 1  # noqa: SLF001 - as above
