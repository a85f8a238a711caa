"""What a model can make the glasses do, as functions that it may call.

The names are the glasses' commands; the parameters are said as a model understands them best and
translated here into the fields of docs/protocol.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from relay.wire.jsontext import JsonValue
from relay_sdk.bridge.memory import TAKE_PHOTO
from relay_sdk.bridge.tool_calls import ToolCall
from relay_sdk.reply import ToolCommand

FIELD_CHARS_MAX = 200
"""A call is one chunk and cannot be split."""

_NAVI_TYPES = {"drive": "0", "walk": "1", "ride": "2"}


def _text(description: str) -> dict[str, JsonValue]:
    return {"type": "string", "description": description}


def _one_of(description: str, *values: str) -> dict[str, JsonValue]:
    return {"type": "string", "enum": list(values), "description": description}


_FUNCTIONS: Mapping[ToolCommand, tuple[str, dict[str, JsonValue], Sequence[str]]] = {
    TAKE_PHOTO: (
        "Take a photo of what the user sees, to answer about it. It comes in the next message.",
        {},
        (),
    ),
    "take_navigation": (
        "Start or stop navigation on the glasses.",
        {
            "action": _one_of("Start or stop.", "open", "close"),
            "poi_name": _text("Where to, as one would type it into a map. Needed to start."),
            "navi_type": _one_of("How the user travels.", *_NAVI_TYPES),
        },
        ("action",),
    ),
    "control_calendar": (
        "Add an entry to the user's calendar.",
        {
            "title": _text("What it is."),
            "start_time": _text("When it starts: YYYY-MM-DD HH:MM:SS, the user's local time."),
            "end_time": _text("When it ends, in the same form."),
        },
        ("title", "start_time"),
    ),
    "notify_agent_off": (
        "End this conversation on the glasses, when the user says goodbye or wants to stop.",
        {},
        (),
    ),
}

DEVICE_TOOLS: tuple[ToolCommand, ...] = tuple(_FUNCTIONS)
"""The names that may be enabled."""


class UnusableCall(ValueError):
    """A model's call that cannot be given to the glasses; the message says why."""


def declare(names: Sequence[ToolCommand]) -> list[JsonValue]:
    """Return the declarations of these tools, as `tools` of a chat completion has them."""
    return [_declaration(name) for name in names]


def _declaration(name: ToolCommand) -> JsonValue:
    description, properties, required = _FUNCTIONS[name]
    parameters: dict[str, JsonValue] = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def read_call(call: ToolCall, enabled: Sequence[ToolCommand]) -> tuple[ToolCommand, dict[str, str]]:
    """Return a model's call as `Reply.tool_call` takes it. Raises `UnusableCall`.

    Models invent functions and fields and forget others: fields that are not declared are dropped,
    what is required must be there.
    """
    command = next((name for name in enabled if name == call.name), None)
    if command is None:
        raise UnusableCall(f"there is no function {call.name!r}")
    _, properties, required = _FUNCTIONS[command]
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        raise UnusableCall(f"the arguments of {call.name} are not JSON") from None
    if not isinstance(arguments, dict):
        raise UnusableCall(f"the arguments of {call.name} are no object")
    fields = {name: _string(arguments.get(name)) for name in properties}
    fields = {name: value for name, value in fields.items() if value}
    for name in required:
        if name not in fields:
            raise UnusableCall(f"{call.name} without {name}")
    return command, _translated(command, fields)


def _translated(name: ToolCommand, fields: dict[str, str]) -> dict[str, str]:
    match name:
        case "take_navigation":
            if fields["action"] not in {"open", "close"}:
                raise UnusableCall(f"take_navigation cannot {fields['action']!r}")
            if fields["action"] == "open" and "poi_name" not in fields:
                raise UnusableCall("take_navigation to nowhere")
            if "navi_type" in fields:
                fields["navi_type"] = _NAVI_TYPES.get(fields["navi_type"], "0")
            elif fields["action"] == "open":
                fields["navi_type"] = _NAVI_TYPES["drive"]
        case "control_calendar":
            fields["action"] = "create"
        case _:
            pass
    return fields


def _string(value: object) -> str:
    return value.strip()[:FIELD_CHARS_MAX] if isinstance(value, str) else ""
