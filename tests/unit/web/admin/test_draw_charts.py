from __future__ import annotations

import re

from relay.web.admin.draw_charts import Chart, Series, draw_chart

MIDNIGHT = 1_750_032_000.0


def chart(*series: Series) -> Chart:
    """A chart of hours."""
    return Chart("Loss", MIDNIGHT, 3600.0, series, label=lambda value: f"{value:g} %")


def test_bars_stand_on_the_axis_and_grow_with_their_values() -> None:
    """Nothing is drawn for nothing."""
    drawn = draw_chart(chart(Series("streams", [2.0, 0.0, None, 4.0], "first", bars=True)))
    heights = re.findall(r'height="([\d.]+)" class="bar first"', drawn)
    assert len(heights) == 2
    assert float(heights[1]) > 1.9 * float(heights[0])


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    """Two pieces; a lonely value is a dot and not nothing."""
    drawn = draw_chart(chart(Series("p50", [1.0, 2.0, None, 3.0, None, 1.0, 1.0], "first")))
    assert drawn.count('class="line first"') == 2
    assert drawn.count('class="dot first"') == 1


def test_hovering_tells_the_values_of_a_step() -> None:
    """With their units, and a dash for what was not measured."""
    drawn = draw_chart(chart(Series("p99", [5.0, None], "second"), Series("p50", [1.5], "first")))
    assert 'data-tip="00:00 UTC\np99  5 %\np50  1.5 %"' in drawn
    assert 'data-tip="01:00 UTC\np99  -\np50  -"' in drawn


def test_a_chart_without_values_says_so() -> None:
    """An empty field would look like a fault."""
    assert "nothing was measured" in draw_chart(chart(Series("p50", [None, None], "first")))
    assert "nothing was measured" in draw_chart(chart())
    assert "nothing" not in draw_chart(chart(Series("p50", [0.0], "first")))


def test_names_are_escaped_and_no_style_is_needed() -> None:
    """The Content-Security-Policy allows no style attribute."""
    drawn = draw_chart(chart(Series("<script>", [1.0], "first")))
    assert "<script>" not in drawn
    assert "style=" not in drawn
