from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from relay.devices.base import InvalidRequest, StreamView
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.texts import TEXTS
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from relay.wire import parts
from relay.wire.sse import SseParser

VIEW = StreamView("S", "e1", "1772181665123", "agent-1", "en")
WHERE = {"message_id": "1772181665123", "agent_id": "agent-1"}
ANSWERED = [Outcome.COMPLETED, Outcome.REPAIRED, Outcome.INCOMPLETE]

lingzhu = LingzhuProtocol()


def shown(raw: bytes) -> list[tuple[str, Mapping[str, object]]]:
    """Return what the glasses see: names and objects."""
    return [(event.event, json.loads(event.data)) for event in SseParser().feed(raw)]


def answer(content: str, *, finish: bool = False) -> tuple[str, Mapping[str, object]]:
    """Return one answer message as the glasses see it."""
    return "message", {
        "role": "agent",
        "type": "answer",
        "answer_stream": content,
        **WHERE,
        "is_finish": finish,
    }


DONE = ("done", {"role": "agent", "type": "answer", **WHERE, "is_finish": True})


PHOTO = parts.tool_call({"command": "take_photo", "handling_required": True})
SUGGESTIONS = parts.follow_up(["And tomorrow?", "明天呢？"])
CALL = (
    "message",
    {
        "role": "agent",
        "type": "tool_call",
        "tool_call": {"command": "take_photo", "handling_required": True},
        **WHERE,
        "is_finish": False,
    },
)
FOLLOW_UP = (
    "message",
    {
        "role": "agent",
        "type": "follow_up",
        "follow_up": ["And tomorrow?", "明天呢？"],
        **WHERE,
        "is_finish": True,
    },
)


def test_a_chunk_is_a_message_of_one_line() -> None:
    """The exact bytes: event, data as ASCII, a blank line, and no id."""
    raw = lingzhu.encode(Entry(1, EntryKind.CHUNK, 0, "嘿\n", sequence=0), VIEW)
    assert raw == (
        b'event: message\ndata: {"role":"agent","type":"answer","answer_stream":"\\u563f\\n",'
        b'"message_id":"1772181665123","agent_id":"agent-1","is_finish":false}\n\n'
    )


@pytest.mark.parametrize("kind", [EntryKind.CHUNK, EntryKind.REPAIR, EntryKind.GAP])
@pytest.mark.parametrize("content", ["x", " ", "\n\n", "\t", "\u3000", "🦞", "\r\n\0\u2028"])
def test_text_of_any_origin_is_shown_as_it_is(kind: EntryKind, content: str) -> None:
    """Whitespace is content: the reference dropped it, and all that followed with it."""
    assert shown(lingzhu.encode(Entry(3, kind, 0, content), VIEW)) == [answer(content)]


@pytest.mark.parametrize("kind", [EntryKind.CHUNK, EntryKind.REPAIR, EntryKind.GAP])
def test_an_empty_text_shows_nothing(kind: EntryKind) -> None:
    """The glasses are sent no event for it."""
    assert lingzhu.encode(Entry(3, kind, 0, ""), VIEW) == b""


def test_a_tool_call_is_a_message_that_does_not_finish() -> None:
    """Behind the text of its chunk; a finish in it would cut the stream."""
    call = Entry(3, EntryKind.CHUNK, 0, "", 2, part=PHOTO)
    assert shown(lingzhu.encode(call, VIEW)) == [CALL]
    both = Entry(3, EntryKind.CHUNK, 0, "Look.", 2, part=PHOTO)
    assert shown(lingzhu.encode(both, VIEW)) == [answer("Look."), CALL]


def test_suggestions_are_shown_between_the_finish_and_done() -> None:
    """Not where the bot sent them: the answer may go on behind them."""
    early = Entry(3, EntryKind.CHUNK, 0, "", 2, part=SUGGESTIONS)
    assert lingzhu.encode(early, VIEW) == b""
    text = Entry(3, EntryKind.CHUNK, 0, "x", 2, part=SUGGESTIONS)
    assert shown(lingzhu.encode(text, VIEW)) == [answer("x")]
    end = Entry(9, EntryKind.END, 0, total_chunks=3, outcome=Outcome.COMPLETED, part=SUGGESTIONS)
    assert shown(lingzhu.encode(end, VIEW)) == [answer("", finish=True), FOLLOW_UP, DONE]


def test_what_the_relay_asks_for_comes_before_the_finish() -> None:
    """Its words, the tool call, an empty finish, done: the order that production glasses take."""
    end = Entry(
        1, EntryKind.END, 0, "Show me.", total_chunks=0, outcome=Outcome.UNBOUND, part=PHOTO
    )
    assert shown(lingzhu.encode(end, VIEW)) == [
        answer("Show me."),
        CALL,
        answer("", finish=True),
        DONE,
    ]


def test_the_ending_is_not_shown() -> None:
    """The device's stream stays open until the end."""
    assert lingzhu.encode(Entry(3, EntryKind.ENDING, 0, total_chunks=2), VIEW) == b""


@pytest.mark.parametrize("outcome", ANSWERED)
def test_an_answer_ends_with_an_empty_finish_and_one_done(outcome: Outcome) -> None:
    """`done` has no `answer_stream`: the glasses would show it twice."""
    end = Entry(9, EntryKind.END, 0, total_chunks=2, outcome=outcome)
    assert shown(lingzhu.encode(end, VIEW)) == [answer("", finish=True), DONE]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in ANSWERED])
def test_every_other_end_says_so_in_the_users_language(outcome: Outcome, lang: str) -> None:
    """A text that can be shown, `is_finish` true, then `done`; never a hang."""
    view = StreamView("S", "e1", "1772181665123", "agent-1", lang)
    end = Entry(1, EntryKind.END, 0, total_chunks=0, outcome=outcome)
    assert shown(lingzhu.encode(end, view)) == [answer(TEXTS[outcome][lang], finish=True), DONE]


def test_behind_a_broken_answer_the_text_starts_on_its_own_line() -> None:
    """It must not read as a part of the bot's last sentence."""
    end = Entry(9, EntryKind.END, 0, total_chunks=8, outcome=Outcome.FAILED)
    (message, _) = shown(lingzhu.encode(end, VIEW))
    assert message == answer("\n" + TEXTS[Outcome.FAILED]["en"], finish=True)


@pytest.mark.parametrize(("offset", "separator"), [(1, ""), (9, "\n")])
def test_a_failure_says_what_the_bot_wants_shown(offset: int, separator: str) -> None:
    """In the place of the relay's own text, and with suggestions like any other answer."""
    end = Entry(
        offset,
        EntryKind.END,
        0,
        "No key.",
        total_chunks=1,
        outcome=Outcome.FAILED,
        part=SUGGESTIONS,
    )
    assert shown(lingzhu.encode(end, VIEW)) == [
        answer(separator + "No key.", finish=True),
        FOLLOW_UP,
        DONE,
    ]


@pytest.mark.parametrize("code", ["unauthorized", "bad_request", "limit_reached", "internal"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_error_before_the_stream_is_a_whole_answer(code: str, lang: str) -> None:
    """The protocol has no error event, so the error is an answer."""
    raw = lingzhu.encode_error(code, conversation_id="1772181665123", agent_id="agent-1", lang=lang)
    assert shown(raw) == [answer(TEXTS[code][lang], finish=True), DONE]


def test_an_error_can_be_shown_without_ids() -> None:
    """A body that is not JSON names none."""
    raw = lingzhu.encode_error("bad_request", conversation_id="", agent_id="", lang="zh")
    assert [event for event, _ in shown(raw)] == ["message", "done"]


def test_a_request_is_read_by_the_protocol() -> None:
    """Reading and writing have one face."""
    body = {"message_id": "m", "agent_id": "a", "message": [{"role": "user", "text": "hi"}]}
    assert lingzhu.read_request(json.dumps(body).encode()).text == "hi"
    with pytest.raises(InvalidRequest):
        lingzhu.read_request(b"")


def test_glasses_do_not_come_back() -> None:
    """The platform sends a new request instead of a `Last-Event-ID`."""
    assert (lingzhu.name, lingzhu.can_resume) == ("lingzhu", False)
