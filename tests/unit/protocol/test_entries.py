from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from relay.protocol.entries import EntryWriter
from relay.protocol.events import Entry, EntryKind, HeldChunk, Part, PartKind
from relay.protocol.sequencer import Run
from relay.protocol.status import Outcome

HIGH, LOW = "\ud83e", "\udd9e"
PHOTO = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')
FIRST, SECOND = Part(PartKind.FOLLOW_UP, '["a"]'), Part(PartKind.FOLLOW_UP, '["b"]')


def write(*texts: str) -> list[Entry]:
    """The entries of these chunks."""
    writer = EntryWriter()
    return [writer.chunk(HeldChunk(s, text, 1.0 + s)) for s, text in enumerate(texts)]


def replay(entries: Iterable[Entry]) -> tuple[EntryWriter, list[str]]:
    """A writer that takes over a log, and the raw contents that it read."""
    writer = EntryWriter()
    return writer, [writer.replay(entry) for entry in entries]


def test_offsets_count_from_one_without_holes() -> None:
    """Whatever the entry is."""
    writer = EntryWriter()
    run = Run((1, 2), (HeldChunk(3, "d", 3.0),))
    entries = [
        writer.chunk(HeldChunk(0, "a", 1.0)),
        *writer.given_up([run], "…", 4.0),
        writer.ending(5.0, 9),
        writer.repair("efg", 6.0),
        writer.end(6.0, 9, Outcome.REPAIRED),
    ]
    assert entries == [
        Entry(1, EntryKind.CHUNK, 1.0, "a", 0),
        Entry(2, EntryKind.GAP, 4.0, "…", 1),
        Entry(3, EntryKind.CHUNK, 3.0, "d", 3),
        Entry(4, EntryKind.ENDING, 5.0, total_chunks=9),
        Entry(5, EntryKind.REPAIR, 6.0, "efg"),
        Entry(6, EntryKind.END, 6.0, total_chunks=9, outcome=Outcome.REPAIRED),
    ]
    assert writer.next_offset == 7


def test_what_is_written_is_intact_until_something_stands_in_for_a_chunk() -> None:
    """Only behind a prefix of the answer is a repair exact."""
    writer = EntryWriter()
    writer.chunk(HeldChunk(0, "a" + HIGH, 1.0))
    writer.ending(2.0, None)
    assert writer.intact
    writer.given_up([], "…", 3.0)
    assert writer.intact
    writer.given_up([Run((1, 1), (HeldChunk(2, "c", 3.0),))], "…", 4.0)
    assert not writer.intact


def test_a_part_goes_with_its_chunk_and_the_newest_suggestions_with_the_end() -> None:
    """Devices show them behind the answer's last word; a tool call is done by then."""
    writer = EntryWriter()
    parts = (FIRST, None, SECOND, PHOTO)
    entries = [writer.chunk(HeldChunk(s, "", 1.0, part)) for s, part in enumerate(parts)]
    assert [entry.part for entry in entries] == [*parts]
    assert writer.ending(2.0, 4).part is None
    assert writer.repair("x", 2.0).part is None
    assert writer.end(2.0, 4, Outcome.COMPLETED).part == SECOND


def test_without_suggestions_the_end_has_none() -> None:
    """A tool call is not repeated by it."""
    writer = EntryWriter()
    writer.chunk(HeldChunk(0, "", 1.0, PHOTO))
    assert writer.end(2.0, 1, Outcome.COMPLETED).part is None


def test_a_chunk_without_text_lets_a_half_wait_on() -> None:
    """A tool call between the two halves of an emoji tears nothing."""
    writer = EntryWriter()
    chunks = [HeldChunk(0, HIGH, 1.0), HeldChunk(1, "", 1.0, PHOTO), HeldChunk(2, LOW, 1.0)]
    assert "".join(writer.chunk(chunk).content for chunk in chunks) == "🦞"


def test_what_a_failure_shows_stands_in_the_end_and_is_well_formed() -> None:
    """It is not the answer's text: a half that waits in the answer is not joined with it."""
    writer = EntryWriter()
    writer.chunk(HeldChunk(0, "a" + HIGH, 1.0, FIRST))
    end = writer.end(2.0, 1, Outcome.FAILED, f"{LOW}Sorry{HIGH}")
    assert (end.content, end.part) == ("\ufffdSorry\ufffd", FIRST)


def test_a_half_waits_for_the_next_entry() -> None:
    """Each entry is well-formed by itself, and says what it leaves."""
    entries = write("a" + HIGH, LOW + "b")
    assert [(e.content, e.carry) for e in entries] == [("a", HIGH), ("🦞b", "")]


def test_a_half_before_a_gap_is_replaced_before_its_mark() -> None:
    """Its partner went missing."""
    writer = EntryWriter()
    writer.chunk(HeldChunk(0, "a" + HIGH, 1.0))
    gap, chunk = writer.given_up([Run((1, 1), (HeldChunk(2, LOW, 3.0),))], "…", 4.0)
    assert (gap.content, gap.carry) == ("\ufffd…", "")
    assert chunk.content == "\ufffd"


@pytest.mark.parametrize(
    "texts",
    [
        ("a", "b", ""),
        ("a" + HIGH, LOW + "b"),
        (HIGH, LOW),
        (HIGH, "", LOW),
        (HIGH, "", "", LOW + "🎉" + HIGH, LOW),
        ("🎉" + HIGH, LOW + "🎉"),
        (HIGH, LOW + HIGH, LOW + HIGH, LOW),
        ("", "", HIGH, LOW),
    ],
)
@pytest.mark.parametrize("ending", [False, True])
def test_a_replayed_log_gives_back_what_the_bot_sent(texts: Sequence[str], ending: bool) -> None:
    """Character by character, so that a repetition is known and a summary can be compared."""
    writer = EntryWriter()
    entries = []
    for sequence, text in enumerate(texts):
        entries.append(writer.chunk(HeldChunk(sequence, text, 1.0)))
        if ending:
            entries.append(writer.ending(1.0, None))
    again, raw = replay(entries)
    assert raw == [part for text in texts for part in ((text, "") if ending else (text,))]
    assert again.next_offset == writer.next_offset
    assert again.intact
    assert again.chunk(HeldChunk(99, LOW, 2.0)) == writer.chunk(HeldChunk(99, LOW, 2.0))


@pytest.mark.parametrize("texts", [(HIGH, "b"), (HIGH, HIGH), (LOW, "a"), ("a" + LOW + "b",)])
def test_a_half_without_a_partner_is_lost_to_a_replay(texts: Sequence[str]) -> None:
    """The log holds the replacement character; everything beside it is as it was."""
    _, raw = replay(write(*texts))
    assert [text.replace("\ufffd", "") for text in raw] == [text.replace(LOW, "") for text in texts]


def test_a_replayed_gap_or_repair_breaks_the_prefix() -> None:
    """As it did when it was written."""
    for kind in (EntryKind.GAP, EntryKind.REPAIR):
        writer, _ = replay([Entry(1, kind, 1.0, "x")])
        assert not writer.intact
