from __future__ import annotations

import pytest
from markupsafe import Markup

from relay.web.admin.draw import (
    Scale,
    clock_label,
    element,
    group,
    line,
    plain,
    rect,
    text,
    ticks,
    time_ticks,
)


def test_what_is_given_is_escaped_in_texts_and_attributes() -> None:
    """A bot's words can neither close an element nor open an attribute."""
    drawn = element("title", "</title><script>", data_tip='"><script>')
    assert drawn == (
        '<title data-tip="&#34;&gt;&lt;script&gt;">&lt;/title&gt;&lt;script&gt;</title>'
    )


def test_what_is_drawn_already_is_not_escaped_again() -> None:
    """Elements within elements; None leaves an attribute out."""
    inner = group([line(0, 0, 1.25, 1, class_="grid"), Markup("<b/>")], class_=None)
    assert inner == '<g><line x1="0" y1="0" x2="1.2" y2="1" class="grid"></line><b/></g>'
    assert text(1, 2.0, "a<b", text_anchor="end") == (
        '<text x="1" y="2" text-anchor="end">a&lt;b</text>'
    )


def test_a_rectangle_has_no_negative_size() -> None:
    """SVG calls it an error and shows nothing."""
    assert 'width="0" height="0"' in rect(0, 0, -3, -1)


def test_a_scale_maps_its_ends_to_its_ends() -> None:
    """Also upside down, as values grow upwards and pixels downwards; one value is at the start."""
    scale = Scale(100, 200, 50, 10)
    assert (scale.at(100), scale.at(150), scale.at(200)) == (50, 30, 10)
    assert Scale(5, 5, 7, 9).at(5) == 7
    assert 150 in scale
    assert 201 not in scale


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 5, 10]),
        (0, 0.42, [0, 0.2, 0.4]),
        (3729, 7600, [4000, 6000]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, expected: list[float]) -> None:
    """1, 2 or 5 times a power of ten, and never outside."""
    assert ticks(low, high, 3) == expected


def test_moments_on_an_axis_are_round_hours() -> None:
    """As a clock has them, in UTC."""
    day = 1_750_032_000.0  # 2025-06-16 00:00
    assert [clock_label(at, 86_400) for at in time_ticks(day - 3600, day + 82_000, 4)] == [
        "00:00", "06:00", "12:00", "18:00",
    ]  # fmt: skip
    assert clock_label(day, 7 * 86_400) == "16 Jun"
    assert clock_label(day + 3600, 7 * 86_400) == "16 Jun 01:00"


def test_numbers_are_short() -> None:
    """Nobody counts digits."""
    assert [plain(v) for v in (0.0, 0.5, 20.0, 1500.0)] == ["0", "0.5", "20", "1,500"]
