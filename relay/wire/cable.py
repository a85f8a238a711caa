"""ActionCable, the server's half (`actioncable-v1-json`), plus the frames that a server sends.

`CableServer.receive(raw)` takes one text frame and returns what came in; the shell acts on it in
order. Nothing here closes a connection: whatever a client sends, the answer is a typed event.

    frame                        event
    subscribe                    Subscribe; Reply with a confirmation for a second one
    unsubscribe                  Unsubscribe; nothing for an unknown identifier
    message                      Perform
    pong (as type or command)    nothing
    anything else                Refusal

An identifier is an opaque string: it is compared and echoed as it came, never re-serialised,
because clients differ in spacing and key order. Specification: docs/protocol.md, 1, 2 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from relay.protocol.events import RefusalCode
from relay.wire import jsontext
from relay.wire.bot_decode import exceeds_utf8, verb
from relay.wire.bot_encode import encode
from relay.wire.bot_messages import RELIABLE, Refused
from relay.wire.jsontext import JsonValue

SUBPROTOCOL = "actioncable-v1-json"

FRAME_BYTES_MAX: Final = 65_536
"""What AnyCable allows for a message."""
SUMMARY_FRAME_BYTES_MAX = 262_144
"""A summary repeats the whole answer. Above this the shell closes with code 1009."""
SUBSCRIPTIONS_MAX = 16
"""Per connection. Existing clients open one or two."""
IDENTIFIER_CHARS_MAX = 4_096
"""Existing identifiers stay below 300."""


# --- what came in -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A subscription is asked for: answer with `CableServer.confirm` or `.reject`.

    `params` is what the identifier says, for example `{"channel": "BotChannel", "bot_id": "1"}`.
    """

    identifier: str
    params: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """The subscription is over. Nothing is answered."""

    identifier: str


class Perform(Struct, frozen=True, gc=False):
    """A message for a subscription; it may still be waiting for its confirmation."""

    identifier: str
    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this frame; there is nothing to decide."""

    frame: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The frame was not taken: send `refused(refusal)`.

    `identifier` is None where it cannot be tied to a subscription. `stream_id` and `sequence` are
    set where the frame is a stream's and they could be read.
    """

    code: RefusalCode
    identifier: str | None
    message: str
    stream_id: str | None = None
    sequence: int | None = None


CableEvent = Subscribe | Unsubscribe | Perform | Reply | Refusal


# --- frames that a server sends -----------------------------------------------------------


def welcome() -> str:
    """The first frame of an accepted connection."""
    return '{"type":"welcome"}'


def ping(now: float) -> str:
    """The heartbeat, every 3 s. `now` is Unix seconds; clients expect an integer."""
    return f'{{"type":"ping","message":{int(now)}}}'


def confirm(identifier: str) -> str:
    """The subscription stands. Shells use `CableServer.confirm`, which also keeps the table."""
    return _frame({"identifier": identifier, "type": "confirm_subscription"})


def reject(identifier: str) -> str:
    """The subscription is refused. Shells use `CableServer.reject`, which also keeps the table."""
    return _frame({"identifier": identifier, "type": "reject_subscription"})


def message(identifier: str, payload: Mapping[str, JsonValue]) -> str:
    """A message for a subscription. Some clients drop an empty `payload` in silence."""
    return _frame({"identifier": identifier, "message": dict(payload)})


def disconnect(reason: str, *, reconnect: bool, retry_after_s: int | None = None) -> str:
    """The last frame before a close. `reconnect=False` makes stock clients stay away for good."""
    frame: dict[str, JsonValue] = {"type": "disconnect", "reason": reason, "reconnect": reconnect}
    if retry_after_s is not None:
        frame["retry_after_s"] = retry_after_s
    return _frame(frame)


def refused(refusal: Refusal) -> str:
    """The answer to a refused frame, as docs/protocol.md section 6 shapes it."""
    answer = Refused(refusal.stream_id, refusal.sequence, refusal.code, refusal.message)
    payload = encode(answer, RELIABLE, now_iso="")
    assert payload is not None
    if refusal.identifier is None:
        return _frame({"type": "error", "identifier": "", "message": payload})
    return message(refusal.identifier, payload)


def select_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the sub-protocol to answer with, or None.

    None is right where nothing was offered (existing SDKs offer nothing). A stock client treats
    every name but this one as unsupported and never comes back.
    """
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _frame(value: dict[str, JsonValue]) -> str:
    return jsontext.dumps(value).decode("utf-8")


# --- the state of a connection ------------------------------------------------------------


class CableServer:
    """The subscriptions of one connection, and the reading of its frames."""

    def __init__(self) -> None:
        self._confirmed: dict[str, bool] = {}

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers that are subscribed, waiting for their confirmation or confirmed."""
        return tuple(self._confirmed)

    def confirm(self, identifier: str) -> str:
        """The shell accepts a subscription. Returns the frame to send."""
        if identifier in self._confirmed:
            self._confirmed[identifier] = True
        return confirm(identifier)

    def reject(self, identifier: str) -> str:
        """The shell refuses a subscription, or ends one. Returns the frame to send."""
        self._confirmed.pop(identifier, None)
        return reject(identifier)

    def receive(self, raw: str) -> list[CableEvent]:
        """Take one text frame. Returns what came in, never raises."""
        if exceeds_utf8(raw, SUMMARY_FRAME_BYTES_MAX):
            return [_too_large(SUMMARY_FRAME_BYTES_MAX)]
        oversize = exceeds_utf8(raw, FRAME_BYTES_MAX)
        try:
            frame = jsontext.loads(raw)
        except jsontext.MalformedJson as error:
            return [
                _too_large(FRAME_BYTES_MAX)
                if oversize
                else Refusal(RefusalCode.MALFORMED_JSON, None, f"the frame: {error}")
            ]
        if not isinstance(frame, dict):
            return [Refusal(RefusalCode.INVALID_PAYLOAD, None, "a frame must be a JSON object")]
        if oversize and frame.get("command") != "message":
            return [_too_large(FRAME_BYTES_MAX)]
        return self._command(frame, oversize=oversize)

    def _command(self, frame: Mapping[str, JsonValue], *, oversize: bool) -> list[CableEvent]:
        match frame.get("command"):
            case "message":
                return [self._message(frame, oversize=oversize)]
            case "subscribe":
                return self._subscribe(frame)
            case "unsubscribe":
                return self._unsubscribe(frame)
            case "pong":
                return []
            case None if frame.get("type") == "pong":
                return []
            case _:
                return [
                    Refusal(
                        RefusalCode.UNKNOWN_COMMAND,
                        None,
                        "command must be subscribe, unsubscribe or message",
                    )
                ]

    def _subscribe(self, frame: Mapping[str, JsonValue]) -> list[CableEvent]:
        identifier = frame.get("identifier")
        if not isinstance(identifier, str) or len(identifier) > IDENTIFIER_CHARS_MAX:
            return [
                Refusal(
                    RefusalCode.INVALID_PAYLOAD,
                    None,
                    f"identifier must be a string of at most {IDENTIFIER_CHARS_MAX} characters",
                )
            ]
        if identifier in self._confirmed:
            # A stock client repeats `subscribe` every 0.5 s, for ever, until it is answered. While
            # the shell still decides, its answer is on the way.
            return [Reply(confirm(identifier))] if self._confirmed[identifier] else []
        try:
            params = jsontext.loads(identifier)
        except jsontext.MalformedJson as error:
            return [Refusal(RefusalCode.MALFORMED_JSON, None, f"the identifier: {error}")]
        if not isinstance(params, dict):
            return [
                Refusal(RefusalCode.INVALID_PAYLOAD, None, "the identifier must hold a JSON object")
            ]
        if len(self._confirmed) >= SUBSCRIPTIONS_MAX:
            return [Reply(reject(identifier))]
        self._confirmed[identifier] = False
        return [Subscribe(identifier, params)]

    def _unsubscribe(self, frame: Mapping[str, JsonValue]) -> list[CableEvent]:
        identifier = frame.get("identifier")
        if not isinstance(identifier, str) or self._confirmed.pop(identifier, None) is None:
            return []
        return [Unsubscribe(identifier)]

    def _message(self, frame: Mapping[str, JsonValue], *, oversize: bool) -> Perform | Refusal:
        identifier = frame.get("identifier")
        if not isinstance(identifier, str) or identifier not in self._confirmed:
            return Refusal(RefusalCode.NOT_SUBSCRIBED, None, "no subscription for the identifier")
        data = frame.get("data")
        if not isinstance(data, str):
            return Refusal(
                RefusalCode.INVALID_PAYLOAD, identifier, "data must be a string that holds JSON"
            )
        try:
            payload = jsontext.loads(data)
        except jsontext.MalformedJson as error:
            return Refusal(RefusalCode.MALFORMED_JSON, identifier, f"data: {error}")
        if not isinstance(payload, dict):
            return Refusal(RefusalCode.INVALID_PAYLOAD, identifier, "data must hold a JSON object")
        if oversize and verb(payload) != "stream_summary":
            return _too_large(FRAME_BYTES_MAX, identifier, payload)
        return Perform(identifier, payload)


def _too_large(
    limit: int, identifier: str | None = None, payload: Mapping[str, JsonValue] | None = None
) -> Refusal:
    """Name stream and sequence where they can be read: the sender must know what to split."""
    stream_id = payload.get("session_id") if payload else None
    sequence = payload.get("sequence") if payload else None
    return Refusal(
        RefusalCode.FRAME_TOO_LARGE,
        identifier,
        f"the frame is larger than {limit} bytes",
        stream_id if isinstance(stream_id, str) else None,
        sequence if type(sequence) is int else None,
    )
