"""The ledger of tests/faults: independent of the relay, and not blind."""

from __future__ import annotations

from tests.faults.content import Answer
from tests.faults.ledger.books import Object, Reader, Stream
from tests.faults.ledger.judge import judge

ANSWER = Answer(1, 3)
TOTAL = 3


def told() -> Stream:
    """A stream of three chunks that was sent, acknowledged and shown whole."""
    stream = Stream(ANSWER, "user", "s")
    reader = Reader(stream)
    stream.readers.append(reader)
    for n in range(TOTAL):
        chunk = {"type": "stream_chunk", "sequence": n, "content": ANSWER.piece(n)}
        stream.hear(chunk, float(n))
        reader.take(f"e.{n + 1}", {**chunk}, float(n))
    stream.answered({"type": "ack", "next_sequence": TOTAL, "received": []}, 3.0)
    stream.hear({"type": "stream_end", "total_chunks": TOTAL}, 3.0)
    reader.take("e.4", {"type": "stream_end", "outcome": "completed"}, 3.0)
    return stream


def trace(**changes: object) -> Object:
    """The trace of that stream."""
    text = "".join(ANSWER.piece(n) for n in range(TOTAL))
    whole: Object = {
        "outcome": "completed",
        "missing_sequences": [],
        "sdk_total_chunks": TOTAL,
        "sdk_chunk_count": TOTAL,
        "sse_chunk_count": TOTAL,
        "sse_content": text,
    }
    return {**whole, **changes}


def test_a_stream_that_is_whole_passes() -> None:
    """The judge finds nothing wrong with it."""
    assert judge(told(), trace()) == []


def test_a_chunk_that_is_neither_shown_nor_missing_is_found() -> None:
    """It was acknowledged, so that is the loss that must never be."""
    stream = told()
    del stream.readers[0].shown[1]
    found = judge(stream, trace(sse_chunk_count=2, outcome="incomplete"))
    assert any("(8) acknowledged, and neither" in line for line in found)


def test_a_chunk_that_is_both_shown_and_missing_is_found() -> None:
    """A trace must not call lost what the device has."""
    found = judge(told(), trace(missing_sequences=[1]))
    assert any("(8) shown and missing" in line for line in found)


def test_what_a_killed_relay_knew_alone_is_asked_of_nobody() -> None:
    """Its last deliveries may be traced as missing; that the device has all is still held."""
    missing = trace(missing_sequences=[0, 1, 2], sse_chunk_count=0, sse_content="")
    assert judge(told(), missing, last_kill=2.5) != []
    assert judge(told(), missing, last_kill=3.5) == []
    lost = told()
    del lost.readers[0].shown[2]
    assert any("(8) completed" in line for line in judge(lost, missing, last_kill=3.5))


def test_a_chunk_that_comes_twice_is_found() -> None:
    """Also where its id is a new one."""
    stream = told()
    reader = stream.readers[0]
    reader.end = None
    reader.take("e.5", {"type": "stream_chunk", "sequence": 1, "content": ANSWER.piece(1)}, 4.0)
    assert any("twice" in line for line in judge(stream, trace()))


def test_another_text_is_found() -> None:
    """A chunk must be shown as it was sent."""
    stream = Stream(ANSWER, "user", "s")
    stream.readers.append(reader := Reader(stream))
    stream.hear({"type": "stream_chunk", "sequence": 0, "content": ANSWER.piece(0)}, 0.0)
    reader.take("e.1", {"type": "stream_chunk", "sequence": 0, "content": "b"}, 0.0)
    assert any("chunk 0 as 'b'" in line for line in judge(stream, None))


def test_a_chunk_that_nobody_sent_is_found() -> None:
    """Whatever its text."""
    stream = Stream(ANSWER, "user", "s")
    stream.readers.append(reader := Reader(stream))
    chunk = {"type": "stream_chunk", "sequence": 0, "content": ANSWER.piece(0)}
    reader.take("e.1", chunk, 0.0)
    assert any("never sent" in line for line in judge(stream, None))


def test_a_hole_that_nothing_announces_is_found() -> None:
    """What follows a gap is shown behind an ellipsis, never as if nothing was missing."""
    for gap, is_fine in ((False, False), (True, True)):
        stream = Stream(ANSWER, "user", "s")
        stream.readers.append(reader := Reader(stream))
        for n in (0, 2):
            chunk = {"type": "stream_chunk", "sequence": n, "content": ANSWER.piece(n)}
            stream.hear(chunk, 0.0)
            if gap and n == 2:
                reader.take("e.2", {"type": "stream_gap", "content": "..."}, 0.0)
            reader.take(f"e.{n + 1}", chunk, 0.0)
        assert (reader.violations == []) is is_fine


def test_an_id_that_goes_back_is_found() -> None:
    """Whoever resumes at it would be shown something twice."""
    stream = told()
    reader = stream.readers[0]
    reader.end = None
    reader.take("e.2", {"type": "stream_gap", "content": "..."}, 4.0)
    assert any("the id e.2 behind e.4" in line for line in judge(stream, trace()))


def test_what_follows_the_end_is_found() -> None:
    """Exactly one end, and nothing behind it."""
    stream = told()
    stream.readers[0].take("e.5", {"type": "stream_end", "outcome": "completed"}, 4.0)
    assert any("behind the end" in line for line in judge(stream, trace()))


def test_a_missing_end_is_found() -> None:
    """A device must not wait for ever."""
    stream = told()
    stream.readers[0].end = None
    assert any("(9) reader 0 got no end" in line for line in judge(stream, trace()))


def test_an_end_that_is_held_too_long_is_found() -> None:
    """2.1 s behind the bot's, where something is missing."""
    for end_at, is_fine in ((5.0, True), (5.2, False)):
        stream = told()
        stream.readers[0].end_at = end_at
        stream.readers[0].end = {"outcome": "incomplete"}
        found = [f for f in judge(stream, trace(outcome="incomplete")) if "(10)" in f]
        assert (found == []) is is_fine


def test_other_numbers_in_the_trace_are_found() -> None:
    """Counts, text and outcome equal what the ledger has seen."""
    for change in (
        {"sse_chunk_count": 2},
        {"sdk_chunk_count": 4},
        {"sdk_chunk_count": 2},
        {"sse_content": "other"},
        {"outcome": "repaired"},
        {"sdk_total_chunks": 4},
    ):
        assert judge(told(), trace(**change)) != [], change
