from __future__ import annotations

from relay.wire.timestamp import beijing_iso


def test_a_timestamp_is_beijing_time_in_whole_seconds() -> None:
    """As the reference writes it: +08:00, one second, rounded down."""
    assert beijing_iso(0) == "1970-01-01T08:00:00+08:00"
    assert beijing_iso(1_772_181_665.999) == "2026-02-27T16:41:05+08:00"


def test_each_second_has_its_own() -> None:
    """Whichever was asked for before, later or earlier."""
    for at, seconds in ((59.0, "59"), (59.999, "59"), (58.999, "58"), (59.0, "59"), (60.0, "00")):
        assert beijing_iso(at)[17:19] == seconds
