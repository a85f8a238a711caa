"""Which streams a legacy connection is answering."""

from __future__ import annotations

import pytest

from relay.node.turns import KEYS_MAX, LegacyTurns


@pytest.fixture
def chunks() -> dict[str, float]:
    """When the newest chunk of a stream came."""
    return {}


@pytest.fixture
def turns(chunks: dict[str, float]) -> LegacyTurns:
    """Turns that are forgotten after 60 s of silence."""
    return LegacyTurns(stale_after_s=60.0, chunk_at=chunks.get)


def test_one_question_at_a_time_overlaps_with_nothing(turns: LegacyTurns) -> None:
    """Also not with one that has ended before."""
    assert turns.asked("a", 0.0) == []
    turns.ended("a")
    assert turns.asked("b", 1.0) == []


def test_a_second_question_overlaps_with_every_one_that_runs(turns: LegacyTurns) -> None:
    """All of them are named, the new one too."""
    turns.asked("a", 0.0)
    assert turns.asked("b", 1.0) == ["a", "b"]
    assert turns.asked("c", 2.0) == ["a", "b", "c"]
    turns.ended("b")
    assert turns.asked("d", 3.0) == ["a", "c", "d"]


def test_the_same_question_again_is_no_overlap(turns: LegacyTurns) -> None:
    """A letter may come twice."""
    turns.asked("a", 0.0)
    assert turns.asked("a", 1.0) == []


def test_a_turn_is_forgotten_after_a_long_silence(turns: LegacyTurns) -> None:
    """A bot that never ends a turn does not spoil the numbers of every later one."""
    turns.asked("a", 0.0)
    turns.heard("a", 30.0)
    assert turns.asked("b", 90.0) == ["a", "b"]
    turns.ended("b")
    assert turns.asked("c", 90.1) == []


def test_a_chunk_ends_the_silence_too(turns: LegacyTurns, chunks: dict[str, float]) -> None:
    """Nobody notes each of them: what the stream knows of its newest one counts."""
    turns.asked("a", 0.0)
    chunks["a"] = 30.0
    assert turns.asked("b", 90.0) == ["a", "b"]
    turns.ended("b")
    assert turns.asked("c", 90.1) == []


def test_a_chunk_from_before_the_question_is_no_longer_silence(
    turns: LegacyTurns, chunks: dict[str, float]
) -> None:
    """What was taken up late is as new as the newest of both."""
    chunks["a"] = 10.0
    turns.take_up("a", "", 50.0)
    assert turns.asked("b", 100.0) == ["a", "b"]


def test_what_was_never_asked_here_is_not_running(turns: LegacyTurns) -> None:
    """Hearing of it, or of its end, changes nothing."""
    turns.heard("a", 0.0)
    turns.ended("a")
    assert turns.asked("b", 1.0) == []


def test_without_any_id_the_oldest_open_question_is_meant(turns: LegacyTurns) -> None:
    """One connection answers first-in first-out."""
    assert turns.resolve(None) is None
    turns.asked("a", 0.0)
    turns.asked("b", 0.0)
    assert turns.resolve(None) == "a"
    turns.ended("a")
    assert turns.resolve(None) == "b"


def test_a_bots_own_key_is_bound_to_the_oldest_question_without_one(turns: LegacyTurns) -> None:
    """And stays bound, so that interleaved answers never mix."""
    turns.asked("a", 0.0)
    turns.asked("b", 0.0)
    assert [turns.resolve(key) for key in ("x", "y", "x", "y")] == ["a", "b", "a", "b"]


def test_a_key_stays_bound_after_the_end(turns: LegacyTurns) -> None:
    """A second `stream_end` must not end the next answer."""
    turns.asked("a", 0.0)
    turns.resolve("x")
    turns.ended("a")
    turns.asked("b", 1.0)
    assert turns.resolve("x") == "a"
    assert turns.resolve("y") == "b"


def test_a_key_without_a_question_is_bound_to_none(turns: LegacyTurns) -> None:
    """And to the next question once there is one."""
    assert turns.resolve("x") is None
    turns.asked("a", 0.0)
    assert turns.resolve("y") == "a"
    assert turns.resolve("x") is None
    turns.asked("b", 0.0)
    assert turns.resolve("x") == "b"


def test_only_so_many_keys_are_remembered(turns: LegacyTurns) -> None:
    """The oldest goes first; a bot cannot fill the memory with keys."""
    for number in range(KEYS_MAX + 1):
        turns.asked(f"s{number}", 0.0)
        assert turns.resolve(f"k{number}") == f"s{number}"
        if number == 0:
            turns.ended("s0")
    assert turns.resolve("k1") == "s1"
    assert turns.resolve("k0") is None


def test_what_an_earlier_connection_was_asked_is_taken_up(turns: LegacyTurns) -> None:
    """In its order, and under the names that the bot had for it."""
    turns.take_up("first", "", 0.0)
    turns.take_up("second", "key-2", 0.0)
    assert turns.resolve("key-2") == "second"
    assert turns.resolve("key-1") == "first"
    assert turns.resolve(None) == "first"
    assert turns.asked("third", 1.0) == ["first", "second", "third"]
