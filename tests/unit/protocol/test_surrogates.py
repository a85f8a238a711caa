from __future__ import annotations

import pytest

from relay.protocol.surrogates import code_units, has_surrogates, join_halves, well_formed

HIGH, LOW = "\ud83e", "\udd9e"


@pytest.mark.parametrize(
    ("carry", "raw", "text", "rest"),
    [
        ("", "", "", ""),
        ("", "plain", "plain", ""),
        ("", "你好🦞", "你好🦞", ""),
        ("", "a" + HIGH, "a", HIGH),
        (HIGH, LOW + "b", "🦞b", ""),
        (HIGH, LOW + HIGH, "🦞", HIGH),
        (HIGH, "", "", HIGH),
        (HIGH, "b", "\ufffdb", ""),
        (HIGH, HIGH, "\ufffd", HIGH),
        ("", LOW + "b", "\ufffdb", ""),
        ("", HIGH + LOW, "🦞", ""),
        ("", "a" + HIGH + "b", "a\ufffdb", ""),
        ("", LOW + HIGH, "\ufffd", HIGH),
    ],
)
def test_halves_are_joined_carried_or_replaced(carry: str, raw: str, text: str, rest: str) -> None:
    """As `String.prototype.toWellFormed` does it, but a trailing high half waits."""
    assert join_halves(carry, raw) == (text, rest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("你好🦞", "你好🦞"),
        (HIGH + LOW, "🦞"),
        ("a" + HIGH, "a\ufffd"),
        (LOW + HIGH + "b", "\ufffd\ufffdb"),
    ],
)
def test_a_text_that_nothing_follows_keeps_no_half(text: str, expected: str) -> None:
    """A trailing high half waits for nobody."""
    assert well_formed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), ("ascii", False), ("你好🦞", False), (HIGH, True), ("你" + LOW, True)],
)
def test_a_surrogate_is_found_wherever_it_stands(text: str, expected: bool) -> None:
    """A whole emoji is none."""
    assert has_surrogates(text) is expected


@pytest.mark.parametrize("cut", range(7))
def test_code_units_compare_texts_that_were_cut_anywhere(cut: int) -> None:
    """Both sides of a cut join to the units of the whole, through the middle of an emoji too."""
    units = code_units("a🦞你🎉")
    assert units == "a" + HIGH + LOW + "你" + "\ud83c\udf89"
    assert code_units(units[:cut]) + code_units(units[cut:]) == units


@pytest.mark.parametrize("text", ["", "ascii", "你好", HIGH + "x"])
def test_text_inside_the_bmp_is_its_own_code_units(text: str) -> None:
    """Nothing is copied where nothing changes."""
    assert code_units(text) == text
