"""What a device is shown, and how it is read from the events of a stream. Pure.

A `PlainReader` lives as long as an answer, over all its connections, and tells repeated from
new: by position within one log, and by sequence where the relay has had to make another log of
the same answer (its epoch is another one then).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from relay.protocol.events import Position
from relay.wire import jsontext
from relay.wire.entry import MalformedPosition, parse_position
from relay.wire.jsontext import JsonValue
from relay.wire.sse import SseEvent

LOST = "lost"
"""The outcome of an answer whose end the device never saw."""
FINISHED = "finished"
"""The outcome of an answer over the glasses' own protocol, which does not say how it went."""

_WHOLE = frozenset({"completed", "repaired", FINISHED})


@dataclass(frozen=True, slots=True)
class Text:
    """Text of the answer. `sequence` is the bot's number of it, `position` the event's id."""

    text: str
    sequence: int | None = None
    position: str = ""
    repeated: bool = False
    """Whether it was shown before the connection broke. Only seen with `repeats=True`."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Text that was lost between bot and relay and that the bot's own summary has supplied."""

    text: str
    position: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Here text is missing for good. `text` is what the relay shows in its place."""

    text: str
    position: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Something that the device is to do, at this place of the answer."""

    command: str
    """`take_photo`, `take_navigation`, `notify_agent_off` or `control_calendar`."""
    fields: Mapping[str, JsonValue]
    """What belongs to it: `action`, `poi_name`, `navi_type`, `title`, `start_time`, ..."""
    sequence: int | None = None
    position: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What the user may want to ask next. The newest suggestions stand."""

    suggestions: tuple[str, ...]
    sequence: int | None = None
    position: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is over: always the last event."""

    outcome: str
    """`completed`, `repaired`, `incomplete`, `failed`, `idle`, `bot_gone`, `bot_offline`,
    `unbound`, `bound`, `cancelled` or `lost` (docs/protocol.md, section 8); `finished` over the
    glasses' protocol."""
    total_chunks: int | None = None
    message: str = ""
    """What the bot has the device show about its failure; it is no part of the answer."""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, as far as the protocol tells."""
        return self.outcome in _WHOLE


DeviceEvent = Text | ToolCall | FollowUp | Repair | Gap | Ended


class EventReader(Protocol):
    """Turns the events of one answer into what the device is shown."""

    def read(self, event: SseEvent) -> Sequence[DeviceEvent]:
        """Take one event. What is not understood shows nothing: it is a newer relay's."""
        ...


class PlainReader:
    """Reads the plain protocol (relay/devices/plain.py), over as many connections as it takes."""

    def __init__(self) -> None:
        self.cursor = ""
        """What to send as `Last-Event-ID`; empty where there is nothing to go on from."""
        self._seen = Position("", 0)
        self._next_sequence = 0
        # What has no number of its own is told apart by how many of its kind came before it:
        # in this log so far, and in the log that was read the furthest.
        self._in_log: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()

    def start_over(self) -> None:
        """The cursor is of no use to the relay (any more): the next connection reads it all."""
        self.cursor = ""

    def read(self, event: SseEvent) -> Sequence[DeviceEvent]:
        """See `EventReader`."""
        fields = _object(event.data)
        known = self._move(event.id)
        content = fields.get("content")
        text = content if isinstance(content, str) else ""
        match fields.get("type"):
            case "stream_chunk":
                return self._chunk(text, fields, event.id, known=known)
            case "stream_repair":
                return [Repair(text, event.id, self._again("repair", known=known))]
            case "stream_gap":
                return [Gap(text, event.id, self._again("gap", known=known))]
            case "stream_end":
                outcome = _text(fields, "outcome") or LOST
                total_chunks = _count(fields, "total_chunks")
                return [Ended(outcome, total_chunks, _text(fields, "message"))]
            case _:
                return []

    def _move(self, token: str) -> bool:
        """Stand at this position; returns whether it was passed before."""
        try:
            position = parse_position(token)
        except MalformedPosition:
            return False
        self.cursor = token
        if position.epoch != self._seen.epoch:
            self._in_log.clear()
        elif position.offset <= self._seen.offset:
            return True
        self._seen = position
        return False

    def _chunk(
        self, text: str, fields: Mapping[str, JsonValue], position: str, *, known: bool
    ) -> list[DeviceEvent]:
        number = _count(fields, "sequence")
        if number is None:
            repeated = self._again("chunk", known=known)
        else:
            # A log is in the order of the sequences.
            repeated = known or number < self._next_sequence
            self._next_sequence = max(self._next_sequence, number + 1)
        events: list[DeviceEvent] = [
            replace(part, sequence=number, position=position, repeated=repeated)
            for part in read_parts(fields)
        ]
        if text or not events:
            events.insert(0, Text(text, number, position, repeated))
        return events

    def _again(self, kind: str, *, known: bool) -> bool:
        if known:
            return True
        self._in_log[kind] += 1
        repeated = self._in_log[kind] <= self._shown[kind]
        self._shown[kind] = max(self._shown[kind], self._in_log[kind])
        return repeated


class LingzhuReader:
    """Reads the glasses' own protocol (relay/devices/lingzhu.py): one connection, no positions."""

    def __init__(self, error: str = "") -> None:
        """Start with the response's `Relay-Error`, which the glasses themselves cannot read."""
        self._outcome = error or FINISHED

    def read(self, event: SseEvent) -> Sequence[DeviceEvent]:
        """See `EventReader`."""
        fields = _object(event.data)
        if event.event == "done":
            return [Ended(self._outcome)]
        text = _text(fields, "answer_stream")
        return [Text(text)] if text and fields.get("type") == "answer" else read_parts(fields)


def read_parts(fields: Mapping[str, JsonValue]) -> list[ToolCall | FollowUp]:
    """Return what is not text. Bots and both device protocols name it alike."""
    found: list[ToolCall | FollowUp] = []
    call, suggestions = fields.get("tool_call"), fields.get("follow_up")
    if isinstance(call, dict) and (command := _text(call, "command")):
        rest = {name: value for name, value in call.items() if name != "command"}
        found.append(ToolCall(command, rest))
    if isinstance(suggestions, list):
        found.append(FollowUp(tuple(one for one in suggestions if isinstance(one, str))))
    return found


def _object(data: str) -> Mapping[str, JsonValue]:
    try:
        value = jsontext.loads(data)
    except jsontext.MalformedJson:
        return {}
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, JsonValue], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _count(fields: Mapping[str, JsonValue], key: str) -> int | None:
    value = fields.get(key)
    return value if type(value) is int else None
