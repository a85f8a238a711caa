from __future__ import annotations

import pytest
from rich.console import Console, RenderableType

from relay.demo.tables import complaints, final_table
from relay.demo.verdict import Row

GOOD = Row(
    title="mixed lost",
    expects_whole=True,
    is_whole=True,
    sent=57,
    acked=57,
    delivered=57,
    missing=(1, 29, 58),
    position="mixed",
    repaired_by="summary",
    first_ms=682,
    last_ms=49,
    added_ms=(1.0, 2.0, 1850.54),
    held_ms=2003.2,
    complaints=(),
)
BAD = Row("broken", True, False, 60, 60, 59, (), None, None, None, None, (), None, ("cut", "lied"))


def text_of(renderable: RenderableType, width: int) -> str:
    """What a console of this width prints."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize("width", [80, 137, 138, 140])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    """In one table, or in two where one has no room."""
    text = text_of(final_table([GOOD, BAD], width), width)
    assert "…" not in text
    for shown in ("1, 29, 58", "summary", "mixed", "682", "49", "2003", "2.0", "1813.6", "WRONG"):
        assert shown in text


def test_the_old_systems_figures_stand_beside_and_are_named_as_recorded() -> None:
    """57 of 60, and a median of 160 ms."""
    text = text_of(final_table([GOOD], 140), 140)
    old = next(line for line in text.splitlines() if "old system, turn 1" in line).split()
    assert {"60", "57", "160"} <= set(old)
    assert "recorded of it, not measured here" in text


def test_every_complaint_is_listed_with_its_scenario() -> None:
    """A line for each; none for what is good."""
    assert complaints([GOOD, BAD]).plain == "broken: cut\nbroken: lied"
