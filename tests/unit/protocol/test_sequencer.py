from __future__ import annotations

import pytest

from relay.protocol.events import HeldChunk, Part, PartKind
from relay.protocol.limits import CHUNK_COST_BYTES
from relay.protocol.sequencer import Run, Sequencer, Verdict, cost_bytes

PHOTO = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')
OTHER = Part(PartKind.TOOL_CALL, '{"command":"notify_agent_off"}')


def make(*sequences: int, window: int = 100, held_bytes_max: int = 100_000) -> Sequencer:
    """A sequencer that was offered these, each a second after the one before."""
    sequencer = Sequencer(window=window, held_bytes_max=held_bytes_max)
    for at, sequence in enumerate(sequences):
        sequencer.offer(chunk(sequence, at))
    return sequencer


def chunk(sequence: int, at: float = 0.0, content: str | None = None) -> HeldChunk:
    """A chunk; `<sequence>` is its content unless another is given."""
    return HeldChunk(sequence, f"<{sequence}>" if content is None else content, at)


def test_the_next_chunk_is_released_with_what_it_unlocks() -> None:
    """Up to the next gap, in order."""
    sequencer = make(2, 1, 4)
    verdict, released = sequencer.offer(chunk(0))
    assert verdict is Verdict.READY
    assert [c.sequence for c in released] == [0, 1, 2]
    assert sequencer.next == 3
    assert [c.sequence for c in sequencer.held] == [4]


def test_what_is_held_is_counted() -> None:
    """In chunks and in bytes; what is released costs nothing any more."""
    sequencer = make(2)
    assert (sequencer.held_count, sequencer.held_bytes) == (1, CHUNK_COST_BYTES + 3)
    sequencer.offer(chunk(3, content="你🦞\ud83e"))
    assert sequencer.held_bytes == 2 * CHUNK_COST_BYTES + 3 + 10
    sequencer.offer(chunk(0))
    sequencer.offer(chunk(1))
    assert (sequencer.held_count, sequencer.held_bytes) == (0, 0)


def test_duplicates_are_found_by_exact_membership() -> None:
    """Held or released; an overtaken chunk is none."""
    sequencer = make(0, 1, 5)
    verdicts = [sequencer.offer(chunk(s))[0] for s in (0, 5, 3)]
    assert verdicts == [Verdict.DUPLICATE, Verdict.DUPLICATE, Verdict.HELD]


def test_another_part_is_a_conflict() -> None:
    """Whether the first is released, held or late; with a part, without one, of another kind."""
    sequencer = make(9)
    chunks = [HeldChunk(0, "", 0.0, PHOTO), HeldChunk(3, "x", 0.0, PHOTO), HeldChunk(4, "x", 0.0)]
    assert [sequencer.offer(first)[0] for first in chunks] == [
        Verdict.READY,
        Verdict.HELD,
        Verdict.HELD,
    ]
    sequencer.give_up()
    late = HeldChunk(1, "", 0.0, PHOTO)
    assert sequencer.offer(late)[0] is Verdict.LATE
    for first in (*chunks, late):
        kind = Part(PartKind.FOLLOW_UP, PHOTO.body)
        for part in {None, PHOTO, OTHER, kind}:
            again = HeldChunk(first.sequence, first.content, 7.0, part)
            same = part == first.part
            assert sequencer.offer(again)[0] is (Verdict.DUPLICATE if same else Verdict.CONFLICT)


def test_a_part_takes_its_bytes_of_the_room() -> None:
    """Like text."""
    part = Part(PartKind.FOLLOW_UP, '["你🦞"]')
    assert cost_bytes(HeldChunk(0, "你", 0.0, part)) == CHUNK_COST_BYTES + 3 + 11
    sequencer = make(held_bytes_max=CHUNK_COST_BYTES + 13)
    assert sequencer.offer(HeldChunk(1, "你", 0.0, part))[0] is Verdict.HOLD_FULL
    assert sequencer.offer(HeldChunk(1, "ok", 0.0, part))[0] is Verdict.HELD


def test_other_content_is_a_conflict() -> None:
    """Whether the first is released, held or late."""
    sequencer = make(0, 3)
    sequencer.give_up()
    sequencer.offer(chunk(1))
    sequencer.offer(chunk(6))
    for sequence in (0, 1, 3, 6):
        assert sequencer.offer(chunk(sequence, content="forged"))[0] is Verdict.CONFLICT
        assert sequencer.offer(chunk(sequence))[0] is Verdict.DUPLICATE


def test_a_chunk_whose_place_is_given_up_is_late_once() -> None:
    """And never accepted: delivered and missing exclude each other."""
    sequencer = make(0, 3)
    sequencer.give_up()
    assert sequencer.offer(chunk(1))[0] is Verdict.LATE
    assert sequencer.offer(chunk(1))[0] is Verdict.DUPLICATE
    assert sequencer.late.ranges() == ((1, 1),)
    assert sequencer.accepted.ranges() == ((0, 0), (3, 3))
    assert [sequencer.has(s) for s in range(4)] == [True, True, False, True]


@pytest.mark.parametrize(("sequence", "verdict"), [(9, "HELD"), (10, "OUT_OF_WINDOW")])
def test_the_window_counts_from_the_first_missing_one(sequence: int, verdict: str) -> None:
    """`window` sequences ahead are held, one more is refused and leaves no trace."""
    sequencer = make(0, window=8)
    assert sequencer.offer(chunk(sequence))[0] is Verdict[verdict]
    assert sequencer.has(sequence) is (verdict == "HELD")


def test_the_hold_is_limited_in_bytes() -> None:
    """What does not fit is refused and leaves no trace; smaller or next ones still come in."""
    sequencer = make(1, held_bytes_max=2 * (CHUNK_COST_BYTES + 3))
    assert sequencer.offer(chunk(2, content="long"))[0] is Verdict.HOLD_FULL
    assert not sequencer.has(2)
    assert sequencer.offer(chunk(2, content="s"))[0] is Verdict.HELD
    assert sequencer.offer(chunk(0, content="long" * 99))[0] is Verdict.READY


def test_a_chunk_may_be_held_beyond_the_limit() -> None:
    """For the moment before everything that is held is released."""
    sequencer = make(1, held_bytes_max=CHUNK_COST_BYTES + 3)
    sequencer.hold(chunk(4))
    assert [run.gap for run in sequencer.give_up()] == [(0, 0), (2, 3)]


def test_the_gap_is_as_old_as_the_oldest_that_waits() -> None:
    """By arrival, not by sequence; None without a gap."""
    sequencer = make(5, 3, 0)
    assert sequencer.gap_since == 0
    sequencer.offer(chunk(1))
    sequencer.offer(chunk(2))
    assert sequencer.gap_since == 0
    sequencer.offer(chunk(4))
    assert sequencer.gap_since is None


def test_runs_name_the_gap_before_each() -> None:
    """Neighbours are one run."""
    assert make(0, 3, 2, 5).runs() == [
        Run((1, 1), (chunk(2, 2), chunk(3, 1))),
        Run((4, 4), (chunk(5, 3),)),
    ]
    assert make(0, 1).runs() == []


def test_giving_up_releases_everything_that_is_held() -> None:
    """The log goes on behind it; giving up nothing changes nothing."""
    sequencer = make(0, 3, 2, 5)
    assert [c.sequence for run in sequencer.give_up() for c in run.chunks] == [2, 3, 5]
    assert (sequencer.next, sequencer.held_count, sequencer.held_bytes) == (6, 0, 0)
    assert sequencer.give_up() == []
    assert sequencer.next == 6


def test_skipping_only_goes_forward() -> None:
    """What is below is given up for good."""
    sequencer = make(0, 1)
    sequencer.skip_to(5)
    sequencer.skip_to(3)
    assert sequencer.next == 5
    assert sequencer.offer(chunk(4))[0] is Verdict.LATE


def test_the_contents_are_those_from_the_first_sequence_to_the_first_that_is_missing() -> None:
    """However they came, and whatever was given up or came late behind them."""
    sequencer = make(0, 3, 2, 1)
    assert sequencer.contents() == [chunk(number).content for number in range(4)]
    sequencer.offer(chunk(6))
    sequencer.give_up()
    sequencer.skip_to(9)
    sequencer.offer(chunk(4))
    assert sequencer.contents() == [chunk(number).content for number in range(4)]
    assert make(1).contents() == []
