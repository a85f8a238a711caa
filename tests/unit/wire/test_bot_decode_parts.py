"""What is not the answer's text: parts of chunks, and what a device shows of a failure."""

from __future__ import annotations

import pytest

from relay.protocol.events import Abort, Chunk, RefusalCode
from relay.protocol.limits import CHUNK_BYTES_MAX, SHOWN_CHARS_MAX
from relay.wire import parts
from relay.wire.bot_decode import PayloadRefused, decode
from relay.wire.bot_messages import StreamMessage
from relay.wire.jsontext import JsonValue

Fields = dict[str, JsonValue]

PHOTO = parts.tool_call({"command": "take_photo"})
TOMORROW = parts.follow_up(["And tomorrow?"])


def chunk(**fields: JsonValue) -> Fields:
    """Return a chunk with some fields changed."""
    return {"type": "stream_chunk", "session_id": "S", "sequence": 3, "content": "x", **fields}


def refusal(payload: Fields) -> PayloadRefused:
    """Decode a payload that must be refused."""
    with pytest.raises(PayloadRefused) as refused:
        decode(payload)
    return refused.value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tool_call": {"command": "take_photo"}}, Chunk("x", 3, PHOTO)),
        ({"tool_call": {"command": "take_photo"}, "content": None}, Chunk("", 3, PHOTO)),
        ({"tool_call": {"command": "take_photo"}, "sequence": None}, Chunk("x", None, PHOTO)),
        ({"follow_up": ["And tomorrow?"], "content": ""}, Chunk("", 3, TOMORROW)),
        ({"follow_up": None, "tool_call": None}, Chunk("x", 3)),
    ],
)
def test_a_chunk_may_carry_a_part(fields: Fields, message: Chunk) -> None:
    """Then its text may be missing."""
    assert decode(chunk(**fields)) == StreamMessage("S", message)
    without_text = chunk(follow_up=["And tomorrow?"])
    del without_text["content"]
    assert decode(without_text) == StreamMessage("S", Chunk("", 3, TOMORROW))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"tool_call": {"command": "take_photo", "zoom": 2}}, "'zoom'"),
        ({"tool_call": {"command": "reboot"}}, "tool_call.command"),
        ({"tool_call": []}, "tool_call"),
        ({"follow_up": [""]}, "follow_up"),
        ({"follow_up": ["a"], "tool_call": {"command": "take_photo"}}, "not both"),
    ],
)
def test_a_part_that_is_wrong_is_refused_by_its_field(fields: Fields, fault: str) -> None:
    """With the sequence, so that the bot learns which chunk was not taken."""
    error = refusal(chunk(**fields))
    assert (error.code, error.stream_id, error.sequence) == (RefusalCode.INVALID_PAYLOAD, "S", 3)
    assert fault in error.message


def test_content_and_part_together_have_the_size_of_a_chunk() -> None:
    """One byte more is refused."""
    room = CHUNK_BYTES_MAX - len(PHOTO.body)
    fits = chunk(tool_call={"command": "take_photo"}, content="x" * room)
    assert decode(fits) == StreamMessage("S", Chunk("x" * room, 3, PHOTO))
    too_long = chunk(tool_call={"command": "take_photo"}, content="x" * (room + 1))
    assert refusal(too_long).code is RefusalCode.CHUNK_TOO_LARGE


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Try later.\n", "Try later.\n"),
        ("x" * (SHOWN_CHARS_MAX + 1), "x" * SHOWN_CHARS_MAX),
        (" \n", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_what_the_device_shows_of_an_error_is_cut_off_and_not_refused(
    message: JsonValue, shown: str
) -> None:
    """For the same reason; what is blank would show nothing."""
    payload: Fields = {"type": "stream_error", "session_id": "S", "message": message}
    assert decode(payload) == StreamMessage("S", Abort("", shown))


def test_what_the_device_shows_of_an_error_is_a_string() -> None:
    """A raw object of an SDK has no place on somebody's glasses."""
    error = refusal({"type": "stream_error", "session_id": "S", "message": {"status": 500}})
    assert (error.code, error.message) == (RefusalCode.INVALID_PAYLOAD, "message must be a string")
