from __future__ import annotations

from pathlib import Path

import pytest

from relay.protocol.events import Part, PartKind
from relay.wire import parts
from relay.wire.jsontext import JsonValue
from relay.wire.parts import InvalidPart

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"
HIGH, LOW = "\ud83e", "\udd9e"
EVERY_FIELD: dict[str, JsonValue] = {
    "command": "take_navigation",
    "action": "open",
    "poi_name": "西湖 🦞",
    "navi_type": "1",
    "title": "\n\0",
    "start_time": "",
    "end_time": "2026-02-27 18:00",
    "handling_required": False,
    "is_recall": True,
}


def fault(value: JsonValue) -> str:
    """Return what is said of a tool call that must be refused."""
    with pytest.raises(InvalidPart) as refused:
        parts.tool_call(value)
    return str(refused.value)


# --- tool calls -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", parts.COMMANDS)
def test_a_tool_call_needs_nothing_but_its_command(command: str) -> None:
    """The body is compact JSON."""
    made = parts.tool_call({"command": command})
    assert made == Part(PartKind.TOOL_CALL, f'{{"command":"{command}"}}')


def test_every_field_of_a_tool_call_comes_back() -> None:
    """Empty, false and odd values are values."""
    made = parts.tool_call(EVERY_FIELD)
    assert parts.to_fields(made) == {"tool_call": EVERY_FIELD}
    assert "西湖 🦞" in made.body


def test_the_order_of_the_fields_makes_no_other_call() -> None:
    """A chunk that is sent again by another encoder is still the same chunk."""
    backwards = dict(reversed(EVERY_FIELD.items()))
    assert parts.tool_call(backwards) == parts.tool_call(EVERY_FIELD)


def test_null_stands_for_a_field_that_is_not_there() -> None:
    """As everywhere on this wire."""
    made = parts.tool_call({"command": "take_photo", "title": None, "is_recall": None})
    assert made == parts.tool_call({"command": "take_photo"})


@pytest.mark.parametrize("value", ["take_photo", ["take_photo"], 1, True])
def test_a_tool_call_is_an_object(value: JsonValue) -> None:
    """A bare command is none."""
    assert fault(value) == "tool_call must be an object"


@pytest.mark.parametrize("command", [None, "", "reboot", "TAKE_PHOTO", 1, ["take_photo"]])
def test_a_command_is_one_of_four(command: JsonValue) -> None:
    """Glasses ignore any other, and the user would wait for what never comes."""
    assert fault({"command": command}) == (
        "tool_call.command must be one of "
        "take_photo, take_navigation, notify_agent_off, control_calendar"
    )
    assert fault({}) == fault({"command": command})


@pytest.mark.parametrize("field", ["params", "Action", "", "command "])
def test_a_field_that_is_not_known_is_named(field: str) -> None:
    """Even where it says nothing: a misspelt field would be missed in silence."""
    assert fault({"command": "take_photo", field: None}) == f"tool_call has no field {field!r}"


def test_a_long_field_name_is_not_echoed_in_full() -> None:
    """The answer to a hostile frame stays small."""
    assert len(fault({"x" * 60_000: 1})) < 100


@pytest.mark.parametrize(
    "field", ["action", "poi_name", "navi_type", "title", "start_time", "end_time"]
)
@pytest.mark.parametrize("value", [1, True, [], {}])
def test_a_text_of_a_tool_call_is_a_string(field: str, value: JsonValue) -> None:
    """The message names the field."""
    assert fault({"command": "take_photo", field: value}).startswith(f"tool_call.{field} must be ")


@pytest.mark.parametrize("field", ["handling_required", "is_recall"])
@pytest.mark.parametrize("value", [0, 1, "true", "", []])
def test_a_flag_of_a_tool_call_is_a_boolean(field: str, value: JsonValue) -> None:
    """Not what is like one."""
    assert (
        fault({"command": "take_photo", field: value}) == f"tool_call.{field} must be true or false"
    )


@pytest.mark.parametrize("navi_type", ["3", "", "walk", 1])
def test_a_kind_of_navigation_is_one_of_three(navi_type: JsonValue) -> None:
    """By car, on foot, by bicycle."""
    call: JsonValue = {"command": "take_navigation", "navi_type": navi_type}
    assert fault(call) == "tool_call.navi_type must be one of 0, 1, 2"


def test_half_an_emoji_in_a_part_is_replaced() -> None:
    """No other entry could bring its partner, and storage cannot say it."""
    call = parts.tool_call({"command": "control_calendar", "title": f"a{HIGH}"})
    assert parts.to_fields(call) == {
        "tool_call": {"command": "control_calendar", "title": "a\ufffd"}
    }
    joined = parts.follow_up([HIGH + LOW, LOW])
    assert parts.to_fields(joined) == {"follow_up": ["🦞", "\ufffd"]}


def test_every_field_and_command_is_in_the_document() -> None:
    """An SDK in another language is written from it."""
    section = PROTOCOL.read_text(encoding="utf-8").partition("**Parts.**")[2].partition("## 5.")[0]
    for word in (*EVERY_FIELD, *parts.COMMANDS, *(f'"{kind}"' for kind in parts.NAVI_TYPES)):
        assert f"`{word}`" in section, word
    assert f"above {parts.FOLLOW_UP_CHARS_MAX} characters" in section


# --- suggestions ----------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [["a"], [" b ", "b"], ["你" * 100, "🦞" * 100, "c\n"]])
def test_up_to_three_suggestions_are_taken_as_they_are(texts: list[JsonValue]) -> None:
    """Of a hundred characters each."""
    assert parts.to_fields(parts.follow_up(texts)) == {"follow_up": texts}


@pytest.mark.parametrize("value", [[], ["a"] * 4, "a", {"a": 1}, 1])
def test_suggestions_are_an_array_of_one_to_three(value: JsonValue) -> None:
    """None at all is no chunk."""
    with pytest.raises(InvalidPart, match="follow_up must be an array of 1 to 3 strings"):
        parts.follow_up(value)


@pytest.mark.parametrize("text", ["", " \n\u3000", "x" * 101, 1, None, ["a"]])
def test_a_suggestion_is_a_short_text(text: JsonValue) -> None:
    """The glasses have one line for it."""
    with pytest.raises(InvalidPart, match="strings of 1 to 100 characters, not blank"):
        parts.follow_up(["fine", text])


# --- in a chunk -----------------------------------------------------------------------------


def test_a_chunk_has_one_part_or_none() -> None:
    """By the name of its field; null is none."""
    call: JsonValue = {"command": "take_photo"}
    assert parts.from_fields({"content": "x"}) is None
    assert parts.from_fields({"tool_call": None, "follow_up": None}) is None
    assert parts.from_fields({"tool_call": call, "follow_up": None}) == parts.tool_call(call)
    assert parts.from_fields({"follow_up": ["a"]}) == parts.follow_up(["a"])
    with pytest.raises(InvalidPart, match="not both"):
        parts.from_fields({"tool_call": call, "follow_up": ["a"]})
    assert parts.to_fields(None) == {}
