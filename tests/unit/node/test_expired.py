from __future__ import annotations

import tracemalloc

import pytest

from relay.node import expired
from relay.node.expired import Expired


def test_the_newest_are_remembered_and_whose_they_were() -> None:
    """So many of them, exactly: the oldest gives its place to the next."""
    gone = Expired(3)
    for number in range(1, 8):
        gone.add(f"s{number}", number)
        there = {name: gone.key_of(f"s{name}") for name in range(1, 8)}
        newest = range(max(1, number - 2), number + 1)
        assert {name: key for name, key in there.items() if key is not None} == {
            name: name for name in newest
        }


def test_what_stands_across_two_of_them_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a place that nobody has taken yet; one that is there is found behind such a place."""
    zeros = bytes(4)
    hashes = {
        "a": zeros + b"\x00\x00\x00\x11",
        "b": b"\x22\x00\x00\x00" + zeros,
        "between": b"\x00\x00\x00\x11\x22\x00\x00\x00",
        "none": zeros + zeros,
    }
    monkeypatch.setattr(expired, "_hash", hashes.__getitem__)
    gone = Expired(4)
    gone.add("a", 1)
    gone.add("b", 2)
    assert gone.key_of("between") is None
    assert gone.key_of("none") is None
    gone.add("between", 3)
    assert [gone.key_of(name) for name in ("a", "b", "between")] == [1, 2, 3]


def test_it_takes_no_more_memory_as_it_fills() -> None:
    """A relay that has expired 20,000 streams is as large as one that has expired none."""
    gone = Expired()
    gone.add("warm", 1)
    tracemalloc.start()
    try:
        for number in range(20_000):
            gone.add(f"stream-{number}", 1)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1_000
    assert gone.key_of("stream-10000") == 1
    assert gone.key_of("stream-9999") is None
