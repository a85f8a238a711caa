"""What is not text in an answer, from JSON and back: tool calls and suggestions.

Both ends use it: the relay checks what a bot sends, the SDK tells the bot's author at once.
Specification: docs/protocol.md, section 4. The fields are those of the Lingzhu protocol.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.protocol.events import Part, PartKind
from relay.protocol.surrogates import well_formed
from relay.wire import jsontext
from relay.wire.jsontext import JsonValue

COMMANDS = ("take_photo", "take_navigation", "notify_agent_off", "control_calendar")
"""What the glasses can be asked to do."""
NAVI_TYPES = ("0", "1", "2")
"""How to travel: by car, on foot, by bicycle."""
FOLLOW_UPS_MAX = 3
FOLLOW_UP_CHARS_MAX = 100

_TEXTS = ("action", "poi_name", "navi_type", "title", "start_time", "end_time")
_FLAGS = ("handling_required", "is_recall")
_FIELDS = ("command", *_TEXTS, *_FLAGS)


class InvalidPart(ValueError):
    """Not a tool call, or not suggestions; the message names the field and what it must be."""


def tool_call(value: JsonValue) -> Part:
    """Return a tool call. None stands for a field that is not there. Raises `InvalidPart`."""
    if not isinstance(value, dict):
        raise InvalidPart("tool_call must be an object")
    for name in value:
        if name not in _FIELDS:
            raise InvalidPart(f"tool_call has no field {name[:64]!r}")
    _check_choice("command", value.get("command"), COMMANDS)
    if value.get("navi_type") is not None:
        _check_choice("navi_type", value["navi_type"], NAVI_TYPES)
    # In one order, so that the same call said again is the same chunk.
    given = {name: value[name] for name in _FIELDS if value.get(name) is not None}
    return _part(PartKind.TOOL_CALL, {name: _checked(name, item) for name, item in given.items()})


def follow_up(value: JsonValue) -> Part:
    """Return suggestions for the next question. Raises `InvalidPart`."""
    if not isinstance(value, list) or not 1 <= len(value) <= FOLLOW_UPS_MAX:
        raise InvalidPart(f"follow_up must be an array of 1 to {FOLLOW_UPS_MAX} strings")
    return _part(PartKind.FOLLOW_UP, [_suggestion(item) for item in value])


def from_fields(fields: Mapping[str, JsonValue]) -> Part | None:
    """Return the part of a chunk, None where it has none. Raises `InvalidPart`."""
    call = fields.get(PartKind.TOOL_CALL)
    suggestions = fields.get(PartKind.FOLLOW_UP)
    if call is not None and suggestions is not None:
        raise InvalidPart("a chunk has a tool_call or a follow_up, not both")
    if call is not None:
        return tool_call(call)
    return None if suggestions is None else follow_up(suggestions)


def to_fields(part: Part | None) -> dict[str, JsonValue]:
    """Return the part as the one field that says it, for bots and devices alike."""
    return {} if part is None else {part.kind.value: jsontext.loads(part.body)}


def _check_choice(name: str, value: JsonValue, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidPart(f"tool_call.{name} must be one of {', '.join(choices)}")


def _checked(name: str, value: JsonValue) -> JsonValue:
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise InvalidPart(f"tool_call.{name} must be true or false")
        return value
    if not isinstance(value, str):
        raise InvalidPart(f"tool_call.{name} must be a string")
    return well_formed(value)


def _suggestion(value: JsonValue) -> JsonValue:
    text = well_formed(value) if isinstance(value, str) else ""
    if not text.strip() or len(text) > FOLLOW_UP_CHARS_MAX:
        raise InvalidPart(
            f"follow_up must hold strings of 1 to {FOLLOW_UP_CHARS_MAX} characters, not blank"
        )
    return text


def _part(kind: PartKind, value: JsonValue) -> Part:
    return Part(kind, jsontext.dumps(value).decode())
