from __future__ import annotations

import json

import pytest

from relay.protocol.sending import SenderLimits
from relay.wire import parts
from relay_sdk.bridge.device_tools import DEVICE_TOOLS, UnusableCall, declare, read_call
from relay_sdk.bridge.tool_calls import ToolCall


def called(name: str, arguments: object) -> dict[str, str]:
    """Return the fields that a model's call has for the glasses."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    command, fields = read_call(ToolCall("c", name, text), DEVICE_TOOLS)
    assert command == name
    return fields


def test_every_command_of_the_glasses_can_be_enabled() -> None:
    """The model's functions are named as the glasses' commands."""
    assert set(DEVICE_TOOLS) == set(parts.COMMANDS)


def test_functions_are_declared_with_schemas() -> None:
    """Only those that were enabled, in that order, each with an object of named parameters."""
    declared = declare(("take_navigation", "take_photo"))
    assert [one["function"]["name"] for one in declared] == ["take_navigation", "take_photo"]  # type: ignore[index,call-overload]
    for one in declared:
        assert isinstance(one, dict)
        assert one["type"] == "function"
        function = one["function"]
        assert isinstance(function, dict)
        assert function["description"]
        schema = function["parameters"]
        assert isinstance(schema, dict)
        assert schema["type"] == "object"
        assert isinstance(schema["properties"], dict)
        assert isinstance(schema["required"], list)
        assert set(map(str, schema["required"])) <= set(schema["properties"])


@pytest.mark.parametrize(
    ("name", "arguments", "fields"),
    [
        ("take_photo", "", {}),
        ("take_photo", {"quality": "high"}, {}),
        ("notify_agent_off", {}, {}),
        (
            "take_navigation",
            {"action": "open", "poi_name": "西湖", "navi_type": "walk"},
            {"action": "open", "poi_name": "西湖", "navi_type": "1"},
        ),
        (
            "take_navigation",
            {"action": "open", "poi_name": " 西湖 "},
            {"action": "open", "poi_name": "西湖", "navi_type": "0"},
        ),
        (
            "take_navigation",
            {"action": "open", "poi_name": "西湖", "navi_type": "teleport"},
            {"action": "open", "poi_name": "西湖", "navi_type": "0"},
        ),
        ("take_navigation", {"action": "close"}, {"action": "close"}),
        (
            "control_calendar",
            {"title": "Dentist", "start_time": "2026-03-01 09:00:00", "end_time": ""},
            {"action": "create", "title": "Dentist", "start_time": "2026-03-01 09:00:00"},
        ),
    ],
)
def test_a_models_call_becomes_a_devices(
    name: str, arguments: object, fields: dict[str, str]
) -> None:
    """Translated, without what is not declared, and such that the wire takes it."""
    assert called(name, arguments) == fields
    assert parts.tool_call({"command": name, **fields}).kind == "tool_call"


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("order_pizza", {}, "there is no function 'order_pizza'"),
        ("take_photo", "{", "not JSON"),
        ("take_photo", "[]", "no object"),
        ("take_navigation", {}, "without action"),
        ("take_navigation", {"action": 1}, "without action"),
        ("take_navigation", {"action": "fly", "poi_name": "x"}, "cannot 'fly'"),
        ("take_navigation", {"action": "open"}, "to nowhere"),
        ("control_calendar", {"title": "Dentist"}, "without start_time"),
    ],
)
def test_a_call_that_makes_no_sense_says_why(name: str, arguments: object, why: str) -> None:
    """Nothing is sent to the glasses then."""
    with pytest.raises(UnusableCall, match=why):
        called(name, arguments)


def test_a_call_fits_into_a_chunk_whatever_the_model_writes() -> None:
    """A chunk with a call cannot be split, so the fields are cut."""
    worst = "\x01" * 10_000
    fields = called("control_calendar", dict.fromkeys(("title", "start_time", "end_time"), worst))
    part = parts.tool_call({"command": "control_calendar", **fields})
    assert len(part.body.encode()) <= SenderLimits().chunk_bytes_max


def test_a_tool_that_was_not_enabled_is_not_called() -> None:
    """Whatever the model says."""
    with pytest.raises(UnusableCall, match="no function 'take_photo'"):
        read_call(ToolCall("c", "take_photo", "{}"), ("take_navigation",))
