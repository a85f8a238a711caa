from __future__ import annotations

import io

import pytest
from rich.console import Console

from relay.demo.bots import Pace
from relay.demo.incident import load_incident
from relay.demo.ledger import Heard, Ledger
from relay.demo.scenarios import SCENARIOS
from relay.demo.screen import conclude, heading, open_screen
from relay.demo.stage import Scene
from relay.demo.verdict import Row, failed

TURN = load_incident()[0]
GOOD = Row("ok", True, True, 3, 3, 3, (), None, None, 700, 96, (1.0, 2.0, 3.0), 3.0, ())


def scene(*, speed: float = 1000.0, skip_s: float = 0.0) -> Scene:
    """The first scene, played to its end."""
    ledger = Ledger(TURN.chunks, 2.0, asked_at=0.0, ended_at=0.1)
    for sequence, content in enumerate(TURN.chunks):
        ledger.sent[sequence] = ledger.acked[sequence] = 0.0
        ledger.heard.append(Heard(0.0, content))
    ledger.heard.append(Heard(0.2, None))
    return Scene(1, 10, SCENARIOS[0], TURN, Pace(speed, skip_s), ledger)


def console(*, terminal: bool) -> Console:
    """A console that keeps what it is told."""
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, color_system=None)


def written(to: Console) -> str:
    """What was written to such a console."""
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_the_heading_says_what_is_not_as_recorded() -> None:
    """The speed, and the silence that is left out."""
    assert heading(scene(speed=1.0)) == "1/10  legacy, turn 0"
    skipped = heading(scene(speed=2.0, skip_s=6.135))
    assert skipped == "1/10  legacy, turn 0  (2 x speed, 6.1 s of silence skipped)"


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_scene_is_watched_and_its_result_told(*, terminal: bool) -> None:
    """Side by side in a terminal, in lines elsewhere."""
    to = console(terminal=terminal)
    with open_screen(to) as screen:
        screen.say("starting")
        async with screen.watch(scene()):
            pass
        await screen.took(scene(), GOOD)
    text = written(to)
    assert "starting" in text
    assert "3 of 3, whole, +2.0 ms" in text
    assert ("glasses" in text) is terminal
    assert ("\x1b" in text) is terminal


def test_the_conclusion_is_0_only_if_all_is_as_it_must_be() -> None:
    """Else it is 1, and every complaint is printed."""
    to = console(terminal=False)
    assert conclude(to, [GOOD]) == 0
    assert "1 of 1 texts whole." in written(to)
    assert conclude(to, [GOOD, failed(SCENARIOS[0], scene().ledger, "it hung")]) == 1
    assert "legacy, turn 0: it hung" in written(to)
