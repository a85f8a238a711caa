from __future__ import annotations

from collections.abc import Sequence

import pytest

from relay.protocol.compensation import Piece, Repair, assess
from relay.protocol.events import HeldChunk, Summary
from relay.protocol.report import Disagreement
from relay.protocol.sequencer import Run, Sequencer
from relay.protocol.texthash import content_hash


def held(texts: Sequence[str], sequences: Sequence[int], start: int) -> list[Run]:
    """The runs of a sequencer that waits for `start` and holds these."""
    sequencer = Sequencer(window=1000, held_bytes_max=1_000_000)
    sequencer.skip_to(start)
    for sequence in sequences:
        sequencer.offer(HeldChunk(sequence, texts[sequence], 0.0))
    return sequencer.runs()


def judge(
    texts: Sequence[str],
    arrived: Sequence[int],
    text: str | None = None,
    *,
    total: int | None = None,
    stated: int | None = None,
) -> Repair | Disagreement:
    """Judge a summary (of `text`, or true) of an answer of which only `arrived` came."""
    whole = "".join(texts) if text is None else text
    start = next((s for s in range(len(texts)) if s not in arrived), len(texts))
    return assess(
        Summary(whole, len(texts) if total is None else total, content_hash(whole)),
        prefix=list(texts[:start]),
        runs=held(texts, [s for s in arrived if s > start], start),
        stated_total=stated,
    )


def gaps(verdict: Repair | Disagreement) -> list[tuple[tuple[int, int] | None, str]]:
    """The texts of a repair and what they stand for."""
    assert isinstance(verdict, Repair)
    return [(piece.gap, piece.text) for piece in verdict.pieces]


LETTERS = ("aa", "b", "cc", "d", "ee")


@pytest.mark.parametrize("arrived", [[0, 2, 3], [0, 2], [2, 3]])
def test_a_lost_chunk_without_text_is_not_made_up_for(arrived: list[int]) -> None:
    """It carried a part, which no summary has: the gap has less text than chunks."""
    texts = ("a", "", "b", "c") if arrived[0] == 0 else ("", "", "b", "c")
    assert judge(texts, arrived) in {Disagreement.CONTENT, Disagreement.COUNT}


def test_a_lost_tail_without_text_is_not_made_up_for() -> None:
    """All the text is there, and the last tool call is not."""
    assert judge(("a", "b", ""), [0, 1]) is Disagreement.COUNT


def test_where_the_gap_has_text_enough_the_text_is_made_whole() -> None:
    """The loss of the part is told by its sequence."""
    assert gaps(judge(("a", "bb", "", "c"), [0, 3])) == [((1, 2), "bb"), (None, "c")]


def test_chunks_without_text_that_arrived_repair_nothing_and_hinder_nothing() -> None:
    """In the prefix, in a run and at the end."""
    texts = ("a", "", "bb", "", "c", "")
    assert gaps(judge(texts, [0, 1, 3, 4, 5])) == [
        ((2, 2), "bb"),
        (None, ""),
        (None, "c"),
        (None, ""),
    ]


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ([0, 1, 2, 3, 4], []),
        ([0, 1, 2], [((3, 4), "dee")]),
        ([3, 4], [((0, 2), "aabcc"), (None, "d"), (None, "ee")]),
        ([0, 2, 4], [((1, 1), "b"), (None, "cc"), ((3, 3), "d"), (None, "ee")]),
        ([1], [((0, 0), "aa"), (None, "b"), ((2, 4), "ccdee")]),
        ([], [((0, 4), "aabccdee")]),
    ],
)
def test_what_lies_between_the_arrived_chunks_is_the_lost_text(
    arrived: list[int], expected: list[tuple[tuple[int, int] | None, str]]
) -> None:
    """Each piece in order: the gaps with their ranges and texts, the held chunks between."""
    assert gaps(judge(LETTERS, arrived)) == expected


def test_a_held_chunk_keeps_its_time() -> None:
    """It goes into the log as the chunk that it was."""
    verdict = judge(("a", "b"), [1])
    assert verdict == Repair((Piece(None, (0, 0), "a"), Piece(HeldChunk(1, "b", 0.0), None, "b")))


@pytest.mark.parametrize(
    ("text", "total", "stated", "why"),
    [
        ("aabccdee", 4, None, Disagreement.COUNT),
        ("aabccdee", 6, 5, Disagreement.COUNT),
        ("aabccdee", 5, 6, Disagreement.COUNT),
        ("Xabccdee", 5, None, Disagreement.PREFIX),
        ("a", 5, None, Disagreement.PREFIX),
        ("aabXXdee", 5, None, Disagreement.CONTENT),
        ("aaccdee", 5, None, Disagreement.CONTENT),
        ("aabccdeeX", 5, None, Disagreement.CONTENT),
        ("aabccdee", 15, None, Disagreement.COUNT),
    ],
)
def test_a_summary_that_cannot_be_true_says_why(
    text: str, total: int, stated: int | None, why: Disagreement
) -> None:
    """`aa` and `ee` arrived, and `cc` between them."""
    assert judge(LETTERS, [0, 2, 4], text, total=total, stated=stated) is why


@pytest.mark.parametrize("content_hash", [None, "0", "", "5E918D2"])
def test_a_summary_without_a_true_hash_is_worth_nothing(content_hash: str | None) -> None:
    """Missing, wrong, empty, in upper case; whatever else agrees."""
    summary = Summary("hello", 1, content_hash)
    verdict = assess(summary, prefix=["hello"], runs=(), stated_total=None)
    assert verdict is Disagreement.HASH


def test_a_text_that_goes_on_behind_the_last_chunk_is_a_wrong_count() -> None:
    """Nothing is missing, so nothing may be left."""
    assert judge(("a", "b"), [0, 1], "abc") is Disagreement.COUNT


def test_a_lost_chunk_has_at_least_one_code_unit() -> None:
    """Three lost chunks cannot have been two letters; an emoji is two units."""
    assert judge(("a", "b", "c", "d"), [0], "abc") is Disagreement.COUNT
    assert gaps(judge(("a", "🦞", "", ""), [0], "a🦞", total=3)) == [((1, 2), "\ud83e\udd9e")]


def test_a_run_is_searched_behind_the_least_that_was_lost_before_it() -> None:
    """A repeated word is not taken for the one that arrived, where that leaves nothing lost."""
    texts = ("a", "x", "x", "b")
    assert gaps(judge(texts, [0, 2, 3])) == [((1, 1), "x"), (None, "x"), (None, "b")]
    assert gaps(judge(texts, [0, 2])) == [((1, 1), "x"), (None, "x"), ((3, 3), "b")]


def test_the_last_run_stands_at_the_very_end() -> None:
    """Not at the first place where its text occurs."""
    texts = ("a", "xbyc", "b")
    assert gaps(judge(texts, [0, 2])) == [((1, 1), "xbyc"), (None, "b")]


def test_an_emoji_that_was_cut_is_compared_by_its_halves() -> None:
    """The summary has the whole emoji; prefix, runs and gaps may begin inside of it."""
    texts = ("a\ud83e", "\udd9eb", "c\ud83c", "\udf89")
    whole = "a🦞bc🎉"
    assert gaps(judge(texts, [0, 2], whole)) == [
        ((1, 1), "\udd9eb"),
        (None, "c\ud83c"),
        ((3, 3), "\udf89"),
    ]
    assert gaps(judge(texts, [1, 3], whole)) == [
        ((0, 0), "a\ud83e"),
        (None, "\udd9eb"),
        ((2, 2), "c\ud83c"),
        (None, "\udf89"),
    ]
