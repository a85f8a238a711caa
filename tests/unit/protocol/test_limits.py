from __future__ import annotations

import pytest

from relay.protocol.limits import (
    CHUNK_BYTES_MAX,
    CHUNK_COST_BYTES,
    SEQUENCE_MAX,
    SHOWN_CHARS_MAX,
    Limits,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("barrier_s", 2.0),
        ("guess_s", 0.15),
        ("gap_s", 8.0),
        ("idle_s", 60.0),
        ("window", 1024),
        ("held_bytes_max", 262_144),
    ],
)
def test_the_defaults_are_those_of_the_document(name: str, value: float) -> None:
    """docs/protocol.md and the settings' table promise them."""
    assert getattr(Limits(), name) == value


def test_the_limits_of_a_chunk_are_those_of_the_document() -> None:
    """Every SDK in another language relies on them."""
    assert (SEQUENCE_MAX, CHUNK_BYTES_MAX, SHOWN_CHARS_MAX) == (1_000_000, 16_384, 2_000)


def test_the_limits_fit_each_other() -> None:
    """What a bot may send on credit can be held, and a gap is shown before glasses give up."""
    limits = Limits()
    assert limits.credit <= limits.window
    assert limits.guess_s < limits.barrier_s
    assert limits.gap_s < 10.0 < limits.idle_s < limits.stream_max_s
    assert limits.held_bytes_max >= CHUNK_BYTES_MAX + CHUNK_COST_BYTES
    assert limits.stream_bytes_max > limits.held_bytes_max
