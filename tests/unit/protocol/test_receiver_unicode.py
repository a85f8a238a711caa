"""Contents that were once lost: blanks, nothing, and halves of an emoji."""

from __future__ import annotations

import pytest

from relay.protocol.events import Ack, Chunk, End, EntryKind
from relay.protocol.report import Disagreement
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, send, summary_of

HIGH, LOW = "\ud83e", "\udd9e"  # the halves of a lobster
SPLIT = ("a" + HIGH, LOW + "b🎉", "c" + HIGH, LOW)


def run(texts: tuple[str, ...], order: list[int]) -> Performer:
    """A legacy stream that gets these chunks and its end."""
    performer = Performer()
    send(performer, texts, order)
    performer.receive(End(), 2.0)
    return performer


@pytest.mark.parametrize("blank", [" ", "\n\n", "\t", "\u3000", ""])
def test_a_blank_chunk_is_a_chunk_like_any_other(blank: str) -> None:
    """The old system took it for nothing, and everything behind it was lost."""
    texts = ("one", blank, "two", blank)
    performer = run(texts, [0, 1, 2, 3])
    assert performer.finish().status is Status.COMPLETED
    assert performer.text == "".join(texts)
    assert performer.delivered == [0, 1, 2, 3]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]])
def test_an_emoji_that_was_cut_in_two_is_shown_whole(order: list[int]) -> None:
    """Each entry is well-formed by itself; the half waits for its other half."""
    performer = run(SPLIT, order)
    performer.finish()
    assert [e.content for e in performer.log if e.kind is EntryKind.CHUNK] == [
        "a",
        "🦞b🎉",
        "c",
        "🦞",
    ]
    assert [e.carry for e in performer.log if e.kind is EntryKind.CHUNK] == [HIGH, "", HIGH, ""]


def test_an_empty_chunk_between_two_halves_does_not_part_them() -> None:
    """The half waits on."""
    performer = run((HIGH, "", LOW), [0, 1, 2])
    performer.finish()
    assert performer.text == "🦞"


def test_a_half_whose_partner_is_lost_becomes_a_replacement_character() -> None:
    """Shown before what follows the gap; nothing else can be said of it."""
    performer = Performer()
    send(performer, SPLIT, [0, 2, 3])
    performer.advance(20.0)
    assert performer.text == "a\ufffd\u2026c🦞"


def test_a_half_before_a_gap_at_the_end_is_replaced_too() -> None:
    """The flush behind the barrier shows no ellipsis, but the half is still no character."""
    performer = run(SPLIT, [0, 2, 3])
    performer.finish()
    assert performer.text == "a\ufffdc🦞"


def test_a_half_at_the_very_end_is_not_shown() -> None:
    """Its partner never comes; every entry stays well-formed."""
    performer = run(SPLIT[:3], [0, 1, 2])
    performer.finish()
    assert performer.text == "a🦞b🎉c"
    assert all(entry.content.encode() is not None for entry in performer.log)


@pytest.mark.parametrize("lost", [[0], [1], [2], [3], [0, 1], [1, 2], [2, 3], [0, 3], [1, 3]])
def test_a_repair_joins_halves_with_what_stands_beside_it(lost: list[int]) -> None:
    """The lost text may begin or end in the middle of an emoji."""
    performer = run(SPLIT, [s for s in range(4) if s not in lost])
    performer.receive(summary_of(SPLIT_SENT), 2.1)
    assert performer.text == "a🦞b🎉c🦞"
    assert performer.report.outcome is Outcome.REPAIRED
    for entry in performer.log:
        entry.content.encode()  # raises for a half


SPLIT_SENT = ("a🦞b🎉c🦞", "", "", "")
"""The summary of `SPLIT`: JavaScript has joined the halves by then."""


def test_a_chunk_with_an_unpaired_half_costs_only_that_half() -> None:
    """The rest of the chunk is shown, and its neighbours are untouched."""
    performer = run(("a", LOW + "b", "c" + HIGH + "d", "e"), [0, 1, 2, 3])
    performer.finish()
    assert performer.text == "a\ufffdbc\ufffdde"


def test_a_repeated_half_is_a_duplicate() -> None:
    """It is compared as it was sent, not as it is shown."""
    performer = Performer()
    send(performer, SPLIT, [0, 1])
    assert performer.receive(Chunk(SPLIT[0], 0), 2.0) == [Ack(0)]
    assert performer.receive(Chunk(SPLIT[1], 1), 2.0) == [Ack(1)]


def test_a_summary_with_other_emoji_is_not_believed() -> None:
    """A prefix is compared unit by unit, through the middle of an emoji."""
    performer = run(SPLIT, [0])
    performer.receive(summary_of(["a🎉b🎉c🦞", "", "", ""]), 2.1)
    performer.finish()
    assert performer.report.disagreement is Disagreement.PREFIX
    assert performer.text == "a"
