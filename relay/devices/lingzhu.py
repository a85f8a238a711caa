"""The Lingzhu protocol: glasses whose platform asks over `POST` and reads an SSE answer.

Every answer ends the same way, because a device that sees no end shows "thinking" for ever: one
`message` with `is_finish` true, then one `done` that never repeats `answer_stream` (the glasses
would show it twice). Suggestions for the next question stand between the two. A tool call is sent
where the bot put it and does not finish: some glasses cut the stream there. The protocol has no
error event: an error is an answer that says so.
There is no resume; when the user speaks again the platform sends a new request.
"""

from __future__ import annotations

from typing import Final, assert_never

from relay.devices.base import Ask, Encoder, StreamView
from relay.devices.lingzhu_request import read_request
from relay.devices.texts import text
from relay.protocol.events import Entry, EntryKind, Part, PartKind
from relay.protocol.status import Outcome
from relay.wire import jsontext, parts, sse
from relay.wire.jsontext import JsonValue

_CHUNK: Final = EntryKind.CHUNK
_quote_ascii: Final = jsontext.quote_ascii

_SPEAKS_FOR_ITSELF = frozenset({Outcome.COMPLETED, Outcome.REPAIRED, Outcome.INCOMPLETE})


class LingzhuProtocol:
    """See the module."""

    name = "lingzhu"
    can_resume = False

    def read_request(self, body: bytes) -> Ask:
        """Return what is asked. Raises `InvalidRequest`."""
        return read_request(body)

    def encode(self, entry: Entry, view: StreamView) -> bytes:
        """Return the frames for one entry; empty where it is not shown."""
        match entry.kind:
            case EntryKind.CHUNK | EntryKind.REPAIR | EntryKind.GAP:
                # Whitespace is content; only the empty string shows nothing.
                answer = _answer(entry.content, view) if entry.content else b""
                return answer + _tool_call(entry.part, view)
            case EntryKind.ENDING:
                return b""
            case EntryKind.END:
                return _end(entry, view)
            case _:
                assert_never(entry.kind)

    def encoder(self, view: StreamView) -> LingzhuEncoder:
        """See `DeviceProtocol.encoder`."""
        return LingzhuEncoder(self, view)

    def encode_error(self, code: str, *, conversation_id: str, agent_id: str, lang: str) -> bytes:
        """Return a whole answer for an error before there is a stream.

        `code` is one of `relay.errors` that `texts` has words for (`unauthorized`,
        `bad_request`, `rate_limited`); every other one is shown as `internal`.
        """
        return _finish(text(code, lang), conversation_id, agent_id)


class LingzhuEncoder(Encoder):
    """See `DeviceProtocol.encoder`."""

    __slots__ = ("_head", "_protocol", "_tail", "_view")

    def __init__(self, protocol: LingzhuProtocol, view: StreamView) -> None:
        self._protocol = protocol
        self._view = view
        name = '"answer_stream":'
        place = name + jsontext.quote_ascii("\0")
        head, _, self._tail = _answer("\0", view).decode("ascii").partition(place)
        self._head = head + name

    def encode(self, entry: Entry) -> bytes:
        """See `Encoder.encode`."""
        content = entry.content
        if entry.kind is _CHUNK and content and entry.part is None:
            return f"{self._head}{_quote_ascii(content)}{self._tail}".encode("ascii")
        return self._protocol.encode(entry, self._view)


def _end(entry: Entry, view: StreamView) -> bytes:
    if entry.part is not None and entry.part.kind is PartKind.TOOL_CALL:
        # The relay asks for something itself: the order is that of wire.md 2.2.
        asked = _answer(entry.content, view) + _tool_call(entry.part, view)
        return asked + _finish("", view.conversation_id, view.agent_id)
    words = _last_words(entry, view.lang)
    return _finish(words, view.conversation_id, view.agent_id, entry.part)


def _last_words(entry: Entry, lang: str) -> str:
    if entry.outcome is None or entry.outcome in _SPEAKS_FOR_ITSELF:
        return entry.content
    # Behind an answer that broke off, the text starts on a line of its own.
    separator = "\n" if entry.offset > 1 else ""
    return f"{separator}{entry.content or text(entry.outcome, lang)}"


def _answer(content: str, view: StreamView) -> bytes:
    return _message(
        "answer", {"answer_stream": content}, view.conversation_id, view.agent_id, finish=False
    )


def _tool_call(part: Part | None, view: StreamView) -> bytes:
    """Return the frame for a tool call. Suggestions have to wait for the finish."""
    if part is None or part.kind is not PartKind.TOOL_CALL:
        return b""
    return _message(
        part.kind, parts.to_fields(part), view.conversation_id, view.agent_id, finish=False
    )


def _finish(
    content: str, conversation_id: str, agent_id: str, suggestions: Part | None = None
) -> bytes:
    frames = _message("answer", {"answer_stream": content}, conversation_id, agent_id, finish=True)
    if suggestions is not None:
        fields = parts.to_fields(suggestions)
        frames += _message(suggestions.kind, fields, conversation_id, agent_id, finish=True)
    return frames + _frame("done", "answer", {}, conversation_id, agent_id, finish=True)


def _message(
    kind: str, fields: dict[str, JsonValue], conversation_id: str, agent_id: str, *, finish: bool
) -> bytes:
    return _frame("message", kind, fields, conversation_id, agent_id, finish=finish)


def _frame(
    event: str,
    kind: str,
    fields: dict[str, JsonValue],
    conversation_id: str,
    agent_id: str,
    *,
    finish: bool,
) -> bytes:
    data: dict[str, JsonValue] = {
        "role": "agent",
        "type": kind,
        **fields,
        "message_id": conversation_id,
        "agent_id": agent_id,
        "is_finish": finish,
    }
    return sse.encode_event(jsontext.dumps_ascii(data), event=event)
