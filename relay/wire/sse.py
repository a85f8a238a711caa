"""Server-Sent Events: one encoder for everything that the relay writes, and a parser for clients.

The encoder is the only place that makes SSE frames. Whatever a bot or a device said has been turned
into JSON on one line before it comes here, so no content can start a line, an event or an id.
The parser follows the WHATWG rules ("event stream interpretation").
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

EVENT_NAMES = frozenset({"message", "done"})
"""The names that device protocols define. There is no `error` event in any of them."""

EVENT_CHARS_MAX = 4 * 1_048_576
"""The parser's limit for one event; above it the other side is not a relay."""

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"


def encode_event(data: str, *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002 - the field's name in the standard
    """Return one event.

    `data` is one line, never empty: an event without data is dispatched by no client, and its id
    moves the cursor of some clients but not of others. Raises ValueError for anything that could
    break the frame: a line break in the widest sense (see `str.splitlines`), an event name that no
    device protocol knows, an id outside of `[A-Za-z0-9._:-]`.
    """
    if data.splitlines() != [data] or "\0" in data:
        raise ValueError("data must be exactly one line")
    head = ""
    if event is not None:
        if event not in EVENT_NAMES:
            raise ValueError(f"no such event: {event!r}")
        head = f"event: {event}\n"
    if id is not None:
        if _ID.fullmatch(id) is None:
            raise ValueError("an id has characters that could break the frame")
        head = f"{head}id: {id}\n"
    return f"{head}data: {data}\n\n".encode()


def comment(text: str) -> bytes:
    """Return a comment, which clients skip: `: stream 1f0c`. Raises ValueError for a line break."""
    if text.splitlines() != [text]:
        raise ValueError("a comment is one line")
    return f": {text}\n\n".encode()


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event. `id` is the last one that was sent so far, `""` where none was."""

    data: str
    event: str = "message"
    id: str = ""


class SseParser:
    """Turns the bytes of a stream, cut anywhere, into events.

    An event is complete at its blank line; what is unfinished when the stream ends is discarded by
    forgetting the parser. `last_event_id` is what a client sends on its next connection, and
    `retry_ms` the delay that the server asked for. A client that reconnects makes a new parser and
    hands over both.
    """

    def __init__(self, last_event_id: str = "", retry_ms: int | None = None) -> None:
        self.last_event_id = last_event_id
        self.retry_ms = retry_ms
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._tail = ""
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = last_event_id

    def feed(self, data: bytes) -> list[SseEvent]:
        """Return the events that these bytes completed.

        Raises ValueError where one event exceeds `EVENT_CHARS_MAX`.
        """
        text = self._decoder.decode(data)
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix(_BOM)
        if self._after_cr and text:
            # A CR ended its line at once; an LF right behind it belongs to the same line end.
            self._after_cr = False
            text = text.removeprefix("\n")
        if text.endswith("\r"):
            self._after_cr = True
        *lines, rest = _LINE_END.split(text)
        events: list[SseEvent] = []
        for line in lines:
            event = self._line(self._tail + line)
            self._tail = ""
            if event is not None:
                events.append(event)
        self._tail += rest
        if self._size + len(self._tail) > EVENT_CHARS_MAX:
            raise ValueError(f"an event is larger than {EVENT_CHARS_MAX} characters")
        return events

    def _line(self, line: str) -> SseEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._size += len(value) + 1
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if _DIGITS.fullmatch(value):
                self.retry_ms = int(value)
            case _:
                pass  # a comment (an empty name), or a field of the future
        return None

    def _dispatch(self) -> SseEvent | None:
        data, name = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        self.last_event_id = self._id
        return SseEvent("\n".join(data), name or "message", self._id) if data else None
