from __future__ import annotations

from time import perf_counter

import pytest

from relay.web.admin.page_texts import COMPARED_CHARS_MAX, SHOWN_CHARS_MAX, Piece, compare
from relay.wire.jsontext import JsonValue
from tests.support.admin import trace_row


def timeline(*lengths: int | None, unseen: int = 0) -> list[JsonValue]:
    """Chunks of these lengths; None never arrived, the last `unseen` were not delivered."""
    there = len(lengths) - unseen
    return [
        [n, 1.0, 1.0, 2.0 if n < there else None, length]
        for n, length in enumerate(lengths)
        if length is not None
    ]


def test_a_whole_answer_has_no_marks() -> None:
    """Both texts are the same."""
    row = trace_row(timeline=timeline(3, 4), sdk_content="one two", sse_content="one two")
    texts = compare(row)
    assert texts.sent == texts.shown == (Piece("same", "one two"),)
    assert texts.exact


def test_a_lost_tail_is_a_hole_at_the_end_of_both() -> None:
    """The relay never had that text."""
    row = trace_row(
        timeline=timeline(3, 4, None, None),
        missing_sequences=[2, 3],
        sdk_content="one two",
        sse_content="one two",
    )
    assert (
        compare(row).sent == compare(row).shown == (Piece("same", "one two"), Piece("hole", "2-3"))
    )


def test_a_repair_stands_behind_the_hole_that_it_filled() -> None:
    """In the middle: between the texts of its neighbours."""
    row = trace_row(
        timeline=timeline(3, None, 6),
        missing_sequences=[1],
        sdk_content="one three",
        sse_content="one two three",
    )
    texts = compare(row)
    assert texts.sent == (Piece("same", "one"), Piece("hole", "1"), Piece("same", " three"))
    assert texts.shown == (
        Piece("same", "one"),
        Piece("hole", "1"),
        Piece("added", " two"),
        Piece("same", " three"),
    )


def test_what_arrived_and_was_not_shown_is_struck_out_of_what_was_sent() -> None:
    """The device hung up before the end."""
    row = trace_row(
        timeline=timeline(3, 4, 6, unseen=1),
        missing_sequences=[2],
        sdk_content="one two three",
        sse_content="one two",
    )
    texts = compare(row)
    assert texts.sent == (Piece("same", "one two"), Piece("lost", " three"))
    assert texts.shown == (Piece("same", "one two"), Piece("hole", "2"))


def test_a_late_chunk_is_in_no_text() -> None:
    """It came when its place was given up; its length must not move the others."""
    row = trace_row(
        timeline=timeline(3, 4, 6),
        missing_sequences=[1],
        anomaly={"arrived_late": [[1, 1]]},
        sdk_content="one three",
        sse_content="one… three",
    )
    texts = compare(row)
    assert texts.exact
    assert texts.shown == (
        Piece("same", "one"),
        Piece("hole", "1"),
        Piece("added", "…"),
        Piece("same", " three"),
    )


@pytest.mark.parametrize("lengths", [(3, 99), (3,), ()])
def test_where_lengths_do_not_fit_the_texts_are_compared(lengths: tuple[int, ...]) -> None:
    """Half characters, or a row of another version: near is better than nothing."""
    row = trace_row(
        timeline=timeline(*lengths), sdk_content="one two three", sse_content="one three"
    )
    texts = compare(row)
    assert not texts.exact
    assert "".join(p.text for p in texts.sent) == "one two three"
    assert "".join(p.text for p in texts.shown) == "one three"
    assert any(piece.kind == "lost" for piece in texts.sent)


def test_long_texts_are_compared_at_their_ends_only_and_cut() -> None:
    """Comparing takes time with the square of the length, and no page has room for all."""
    row = trace_row(
        timeline=[],
        sdk_content="begin " + "ab" * COMPARED_CHARS_MAX + " end",
        sse_content="begin " + "ba" * SHOWN_CHARS_MAX + " end",
    )
    texts = compare(row)
    assert [piece.kind for piece in texts.sent] == ["same", "lost", "same"]
    assert [piece.kind for piece in texts.shown] == ["same", "added", "cut"]
    assert sum(len(piece.text) for piece in texts.shown[:2]) == SHOWN_CHARS_MAX


def test_the_worst_texts_are_compared_in_no_time() -> None:
    """All of one character: each place is like each other one."""
    row = trace_row(timeline=[], sdk_content="a" * 799 + "b", sse_content="b" + "a" * 799)
    started = perf_counter()
    compare(row)
    assert perf_counter() - started < 2.0


def test_a_row_without_texts_has_only_its_holes() -> None:
    """Where the relay keeps no contents."""
    row = trace_row(
        timeline=timeline(3, None), missing_sequences=[1], sdk_content="", sse_content=""
    )
    assert compare(row).sent == ()
