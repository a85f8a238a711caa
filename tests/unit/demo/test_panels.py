from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.console import Console

from relay.demo.ledger import Heard, Ledger
from relay.demo.panels import result_line, scene_view, told
from relay.demo.scenarios import Claim, Scenario, Speaker
from relay.demo.verdict import Row

CHUNKS = tuple(f"{n}、" for n in range(60))
LOST = Scenario("lost", "about it", Speaker.LEGACY, 1, frozenset({2}), Claim.FALSE)


def view(ledger: Ledger, *, width: int = 80, words: str = "", now: float = 10.0) -> str:
    """The view as plain text."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(scene_view("1/1", LOST, ledger, now=now, width=width, words=words))
    return capture.get()


def ledger(*, sent: int = 0, acked: int = 0, shown: int = 0) -> Ledger:
    """A ledger in which the relay has got so far; sequence 2 is never sent."""
    notes = Ledger(CHUNKS, 2.0, asked_at=9.0)
    sequences = [sequence for sequence in range(60) if sequence != 2]
    notes.sent = dict.fromkeys(sequences[:sent], 9.5)
    notes.acked = dict.fromkeys(sequences[:acked], 9.6)
    notes.heard = [Heard(9.6, CHUNKS[sequence]) for sequence in sequences[:shown]]
    return notes


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_the_view_fits_its_terminal(width: int) -> None:
    """Wide characters included, and it never changes its height while a scene is played."""
    views = [
        view(ledger(), width=width),
        view(ledger(sent=40, acked=30, shown=2), width=width),
        view(ledger(sent=59, acked=59, shown=59), width=width, words="trace: " + "all " * 60),
    ]
    assert len({text.count("\n") for text in views}) == 1
    assert max(cell_len(line) for text in views for line in text.splitlines()) <= width


def test_the_numbers_are_those_of_the_ledger() -> None:
    """What the bot sent, what the relay has, what the device shows."""
    text = view(ledger(sent=9, acked=8, shown=2))
    assert "sent 9 of 60, 1 never" in text
    assert "stored 8, 6 held" in text
    assert "shown 2" in text


def test_a_gap_is_named_while_later_chunks_wait() -> None:
    """By its sequences."""
    assert "2 missing: what" in view(ledger(sent=9, acked=8, shown=2))


def test_a_held_end_says_for_what_and_how_long() -> None:
    """Until the device is told that the answer is over."""
    notes = ledger(sent=59, acked=59, shown=2)
    notes.ended_at = 9.0
    text = view(notes)
    assert "holds the end for 2" in text
    assert "1.0 of 2 s" in text
    notes.heard.append(Heard(11.0, None))
    assert "the answer is over" in view(notes)


def test_a_repair_is_shown_as_one() -> None:
    """In the relay's map and in the device's."""
    notes = ledger(sent=59, acked=59, shown=2)
    notes.ended_at = 9.0
    notes.heard += [Heard(9.7, CHUNKS[sequence]) for sequence in range(2, 60)]
    text = view(notes)
    assert "shown 59, 1 repaired" in text
    assert text.count("◆") == 3  # one of them explains the sign


def row(**changes: object) -> Row:
    """The row of a scenario that went well."""
    fields: dict[str, object] = {
        "title": "lost",
        "expects_whole": True,
        "is_whole": True,
        "sent": 59,
        "acked": 59,
        "delivered": 59,
        "missing": (2,),
        "position": "head",
        "repaired_by": "summary",
        "first_ms": 1,
        "last_ms": 1,
        "added_ms": (1.0, 2.0),
        "held_ms": 1.0,
        "complaints": (),
    }
    return Row(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_result_says_how_it_went_in_one_line() -> None:
    """Whole, as sent, or wrong and why."""
    assert "59 of 60 + 1 from the summary, whole" in result_line(row(), 60).plain
    as_sent = row(repaired_by=None, is_whole=False, expects_whole=False)
    assert "the trace tells 2" in result_line(as_sent, 60).plain
    wrong = result_line(row(complaints=("it hung",)), 60).plain
    assert wrong.startswith("✗")
    assert "it hung" in wrong


def test_the_trace_is_told_in_words() -> None:
    """What is missing, where, and what became of it."""
    assert told(row()) == "trace: 2 missing (head), repaired by summary"
    assert told(row(repaired_by=None)) == "trace: 2 missing (head), not repaired"
    assert told(row(missing=())) == "trace: nothing missing"
