from __future__ import annotations

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Stop
from relay.protocol.limits import Limits
from relay.protocol.status import Outcome
from relay.wire import parts
from relay.wire.bot import Acked, Closed, Missing, OpenStreamState, Refused
from relay_sdk.device_events import ToolCall
from relay_sdk.testing.stream import FakeStream, Sent

CREDIT = 8
LIMITS = Limits(credit=CREDIT)


def stream(*sent: Sent) -> FakeStream:
    """A stream that has received these, at 0."""
    made = FakeStream("s1", LIMITS, 0.0)
    for message in sent:
        made.sent.append(message)
        made.receive(message, 0.0)
    return made


def test_a_chunk_is_acknowledged_and_a_hole_is_asked_for() -> None:
    """As the real relay does it, because its own receiver decides."""
    fake = stream()
    assert fake.receive(Chunk("a", 0), 0.0) == [Acked("s1", None, 1, (), CREDIT)]
    acked, missing = fake.receive(Chunk("c", 2), 0.0)
    assert isinstance(acked, Acked)
    assert (acked.next_sequence, acked.received) == (1, ((2, 2),))
    assert missing == Missing("s1", ((1, 1),))
    assert fake.next_sequence == 1


def test_a_contradiction_is_refused() -> None:
    """The first chunk of a number stands."""
    (refused,) = stream(Chunk("a", 0)).receive(Chunk("b", 0), 0.0)
    assert isinstance(refused, Refused)
    assert (refused.stream_id, refused.code) == ("s1", RefusalCode.CONFLICT)


def test_a_whole_answer_is_closed_and_says_so_again() -> None:
    """The first `stream_closed` may be lost with a connection."""
    fake = stream(Chunk("a", 0))
    closed = Closed("s1", "completed", 1, ())
    assert fake.receive(End(1), 0.0) == [closed]
    assert fake.receive(End(1), 1.0) == [closed]
    assert fake.state() == closed
    assert fake.next_deadline() is None


def test_an_end_without_its_chunks_is_held_for_the_barrier() -> None:
    """Time is the caller's; then the answer is incomplete, and says what is missing."""
    fake = stream(Chunk("a", 0), Chunk("c", 2), End(3))
    assert fake.closed is None
    assert fake.handle_timer(LIMITS.barrier_s)[-1] == Closed("s1", "incomplete", 3, ((1, 1),))
    answer = fake.answer()
    assert (answer.text, answer.missing, answer.whole) == ("ac", ((1, 1),), False)
    assert answer.chunks == ((0, "a"), (2, "c"))


def test_an_answer_has_its_tool_calls_and_the_newest_suggestions() -> None:
    """Typed, as a device reads them."""
    call = parts.tool_call({"command": "take_photo"})
    first, second = parts.follow_up(["a?"]), parts.follow_up(["b?", "c?"])
    fake = stream(
        Chunk("", 0, call), Chunk("x", 1), Chunk("", 2, first), Chunk("", 3, second), End(4)
    )
    answer = fake.answer()
    assert answer.tool_calls == (ToolCall("take_photo", {}),)
    assert (answer.text, answer.follow_up) == ("x", ("b?", "c?"))


def test_a_failure_says_what_the_bot_said_and_what_is_shown() -> None:
    """The one is for a trace, the other for the glasses; neither is text of the answer."""
    answer = stream(Chunk("a", 0), Abort("HTTP 402", "Out of credit.")).answer()
    assert (answer.outcome, answer.text) == ("failed", "a")
    assert (answer.error, answer.shown) == ("HTTP 402", "Out of credit.")


def test_what_is_shown_in_place_of_lost_text_is_text() -> None:
    """A device cannot tell it from the bot's."""
    fake = stream(Chunk("a", 0), Chunk("c", 2))
    fake.handle_timer(LIMITS.gap_s)
    fake.receive(Stop(Outcome.CANCELLED), LIMITS.gap_s)
    assert fake.answer().text == "a\u2026c"


def test_a_forgotten_stream_begins_anew_but_knows_what_was_sent() -> None:
    """A relay that was killed; the test still wants to see everything."""
    fake = stream(Chunk("a", 0))
    before = fake.state()
    fake.forget(1.0)
    after = fake.state()
    assert isinstance(before, OpenStreamState)
    assert isinstance(after, OpenStreamState)
    assert (before.next_sequence, after.next_sequence) == (1, 0)
    assert before.epoch != after.epoch
    assert fake.sent == [Chunk("a", 0)]


def test_a_closed_stream_is_not_forgotten() -> None:
    """The test has asked for its answer."""
    fake = stream(Chunk("a", 0), End(1))
    fake.forget(1.0)
    assert fake.answer().text == "a"
