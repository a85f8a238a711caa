from __future__ import annotations

import json

import pytest

from relay.wire.sse import SseEvent
from relay_sdk.device_events import (
    FINISHED,
    LOST,
    DeviceEvent,
    Ended,
    FollowUp,
    Gap,
    LingzhuReader,
    PlainReader,
    Repair,
    Text,
    ToolCall,
)


def event(position: str, type_: str, **fields: object) -> SseEvent:
    """An event of the plain protocol."""
    return SseEvent(json.dumps({"type": type_, "session_id": "s1", **fields}), "message", position)


def chunk(position: str, sequence: int, content: str) -> SseEvent:
    """A chunk of the plain protocol."""
    return event(position, "stream_chunk", sequence=sequence, content=content)


def read(reader: PlainReader, *events: SseEvent) -> list[DeviceEvent]:
    """Read events, one after the other."""
    return [shown for one in events for shown in reader.read(one)]


def new_text(shown: list[DeviceEvent]) -> str:
    """What is not repeated."""
    texts = [one for one in shown if isinstance(one, Text | Repair | Gap)]
    return "".join(one.text for one in texts if not one.repeated)


def test_each_event_is_read_by_its_type() -> None:
    """Text with its sequence, what a summary supplied, what is missing, the end."""
    reader = PlainReader()
    assert read(
        reader,
        chunk("a.1", 0, "\n"),
        event("a.2", "stream_gap", content="…"),
        event("a.3", "stream_repair", content="x"),
        event("a.5", "stream_end", outcome="repaired", total_chunks=3),
    ) == [Text("\n", 0, "a.1"), Gap("…", "a.2"), Repair("x", "a.3"), Ended("repaired", 3)]
    assert reader.cursor == "a.5"


def test_what_a_chunk_carries_stands_behind_its_text() -> None:
    """A tool call and suggestions have the chunk's number; empty text beside them is nothing."""
    reader = PlainReader()
    call = {"command": "take_navigation", "poi_name": "West Lake", "navi_type": "1"}
    suggestions = {"follow_up": ["And tomorrow?"], "sequence": 1, "content": ""}
    shown = read(
        reader,
        event("a.1", "stream_chunk", sequence=0, content="Look: ", tool_call=call),
        event("a.2", "stream_chunk", **suggestions),
    )
    assert shown == [
        Text("Look: ", 0, "a.1"),
        ToolCall("take_navigation", {"poi_name": "West Lake", "navi_type": "1"}, 0, "a.1"),
        FollowUp(("And tomorrow?",), 1, "a.2"),
    ]
    again = read(reader, event("b.2", "stream_chunk", **suggestions))
    assert again == [FollowUp(("And tomorrow?",), 1, "b.2", repeated=True)]


def test_a_failure_may_have_something_to_show() -> None:
    """It stands in the end and is no part of the answer's text."""
    end = event("a.1", "stream_end", outcome="failed", total_chunks=0, message="Out of credit.")
    assert PlainReader().read(end) == [Ended("failed", 0, "Out of credit.")]


@pytest.mark.parametrize("call", [None, "take_photo", {}, {"command": 1}, []])
def test_a_tool_call_that_is_none_shows_nothing(call: object) -> None:
    """Nothing that a relay says raises in a device."""
    odd = event("a.1", "stream_chunk", sequence=0, content="a", tool_call=call)
    assert PlainReader().read(odd) == [Text("a", 0, "a.1")]


def test_a_resumed_log_goes_on_without_repeats() -> None:
    """The events behind the cursor are new."""
    reader = PlainReader()
    read(reader, chunk("a.1", 0, "a"))
    assert read(reader, chunk("a.2", 1, "b")) == [Text("b", 1, "a.2")]


def test_a_log_that_is_read_again_is_repeated_up_to_where_it_was_read() -> None:
    """By position: also what has no number of its own."""
    first = [chunk("a.1", 0, "a"), event("a.2", "stream_gap", content="…"), chunk("a.3", 4, "e")]
    reader = PlainReader()
    read(reader, *first)
    reader.start_over()
    assert reader.cursor == ""
    again = read(reader, *first, event("a.4", "stream_gap", content="…"), chunk("a.5", 7, "h"))
    assert [isinstance(one, Ended) or one.repeated for one in again] == [True] * 3 + [False] * 2
    assert new_text(again) == "…h"


def test_the_last_event_that_was_read_is_repeated_too() -> None:
    """Up to and including it: here a gap, which only its position tells apart."""
    first = [chunk("a.1", 0, "a"), event("a.2", "stream_gap", content="…")]
    reader = PlainReader()
    read(reader, *first)
    reader.start_over()
    assert new_text(read(reader, *first)) == ""


def test_another_log_of_the_same_answer_is_repeated_up_to_the_last_sequence() -> None:
    """The relay lost its memory and the bot sent everything again; offsets mean nothing now."""
    reader = PlainReader()
    read(reader, chunk("a.1", 0, "a"), chunk("a.2", 1, "b"), chunk("a.3", 2, "c"))
    shown = read(reader, *(chunk(f"b.{n + 1}", n, "abcde"[n]) for n in range(5)))
    assert new_text(shown) == "de"
    assert shown[0] == Text("a", 0, "b.1", repeated=True)


def test_another_log_that_is_cut_short_and_made_again_repeats_nothing() -> None:
    """Twice in one answer; the second log was read less far than the first."""
    reader = PlainReader()
    read(reader, *(chunk(f"a.{n + 1}", n, "abcde"[n]) for n in range(3)))
    read(reader, chunk("b.1", 0, "a"))
    shown = read(reader, *(chunk(f"c.{n + 1}", n, "abcde"[n]) for n in range(5)))
    assert new_text(shown) == "de"


def test_what_has_no_sequence_is_told_apart_by_its_kind_and_count_in_another_log() -> None:
    """The first gap of the new log is the first gap of the old one; the second one is new."""
    reader = PlainReader()
    gap = event("a.2", "stream_gap", content="…")
    read(reader, chunk("a.1", 0, "a"), gap)
    shown = read(
        reader,
        chunk("b.1", 0, "a"),
        event("b.2", "stream_gap", content="…"),
        chunk("b.3", 5, "f"),
        event("b.4", "stream_gap", content="…"),
    )
    assert new_text(shown) == "f…"


def test_text_of_a_bot_that_does_not_number_is_told_apart_by_its_count() -> None:
    """`sequence` may be missing."""
    reader = PlainReader()
    first = event("a.1", "stream_chunk", content="a")
    assert read(reader, first) == [Text("a", None, "a.1")]
    again = event("b.1", "stream_chunk", content="a")
    more = event("b.2", "stream_chunk", content="b")
    assert new_text(read(reader, again, more)) == "b"


def test_an_event_without_a_position_moves_nothing() -> None:
    """For example the one that announces another log."""
    reader = PlainReader()
    read(reader, chunk("a.1", 0, "a"))
    assert read(reader, event("", "stream_reset")) == []
    assert reader.cursor == "a.1"
    assert read(reader, chunk("not a position", 1, "b")) == [Text("b", 1, "not a position")]
    assert reader.cursor == "a.1"


@pytest.mark.parametrize(
    "data", ["", "[]", "no JSON", "{}", '{"type":"of the future"}', '{"type":1}', "null"]
)
def test_what_is_not_understood_shows_nothing(data: str) -> None:
    """A newer relay may say more than this device knows."""
    assert PlainReader().read(SseEvent(data, "message", "a.1")) == []


def test_fields_of_another_type_are_taken_for_missing() -> None:
    """Nothing that a relay says raises in a device."""
    odd = event("a.1", "stream_chunk", sequence="0", content=7)
    assert PlainReader().read(odd) == [Text("", None, "a.1")]
    assert PlainReader().read(event("a.1", "stream_end", outcome=1)) == [Ended(LOST)]


@pytest.mark.parametrize(
    ("outcome", "whole"),
    [("completed", True), ("repaired", True), ("incomplete", False), ("lost", False)],
)
def test_an_end_says_whether_the_answer_is_whole(outcome: str, whole: bool) -> None:
    """A repaired text is whole, though chunks were lost."""
    assert Ended(outcome).whole is whole


def lingzhu(name: str, **fields: object) -> SseEvent:
    """An event of the glasses' protocol."""
    return SseEvent(json.dumps({"role": "agent", "type": "answer", **fields}), name)


def test_the_glasses_protocol_shows_its_text_and_ends_with_done() -> None:
    """Also the last words, which come with `is_finish`; the empty finish shows nothing."""
    reader = LingzhuReader()
    assert reader.read(lingzhu("message", answer_stream=" a", is_finish=False)) == [Text(" a")]
    assert reader.read(lingzhu("message", answer_stream="", is_finish=True)) == []
    assert reader.read(lingzhu("done", is_finish=True)) == [Ended(FINISHED)]
    assert Ended(FINISHED).whole


def test_the_glasses_protocol_shows_tool_calls_and_suggestions() -> None:
    """They are messages of their own there."""
    reader = LingzhuReader()
    call = lingzhu("message", type="tool_call", tool_call={"command": "take_photo"})
    assert reader.read(call) == [ToolCall("take_photo", {})]
    suggestions = lingzhu("message", type="follow_up", follow_up=["a", "b"], is_finish=True)
    assert reader.read(suggestions) == [FollowUp(("a", "b"))]


def test_an_error_that_the_glasses_are_shown_is_named_in_the_end() -> None:
    """They only see its text; machines have the header."""
    assert LingzhuReader("unbound").read(lingzhu("done")) == [Ended("unbound")]
