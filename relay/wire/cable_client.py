"""ActionCable, the client's half: one subscription, as a bot or a worker has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.wire import jsontext
from relay.wire.jsontext import JsonValue

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Welcome:
    """The credential was accepted."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The server's heartbeat; `at` is its clock in Unix seconds, None where it said none."""

    at: int | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The subscription stands."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The subscription was refused."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the subscription, or a refusal of a frame that could not be tied to it.

    It may come before `Confirmed`.
    """

    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The server is about to close. `reconnect=False` is final."""

    reason: str
    reconnect: bool
    retry_after_s: float = 0.0
    """Not to be back before; 0 where it does not say."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame that says nothing to this client; `why` is for its log."""

    why: str


ServerFrame = Welcome | Ping | Confirmed | Rejected | Message | Disconnect | Unknown


class CableClient:
    """Builds and reads the frames of one subscription.

    `identifier` is the JSON text that names the subscription; the server echoes it as it is.
    """

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier

    def subscribe(self) -> str:
        """The frame that asks for the subscription."""
        return self._command("subscribe")

    def unsubscribe(self) -> str:
        """The frame that ends it; no answer comes."""
        return self._command("unsubscribe")

    def perform(self, payload: Mapping[str, JsonValue]) -> str:
        """The frame that carries one message. `data` is JSON inside of a JSON string."""
        return self._command("message", data=jsontext.dumps(dict(payload)).decode("utf-8"))

    def receive(self, raw: str | bytes) -> ServerFrame:
        """Read one frame of the server. Never raises."""
        try:
            frame = jsontext.loads(raw)
        except jsontext.MalformedJson as error:
            return Unknown(str(error))
        if not isinstance(frame, dict):
            return Unknown("not an object")
        match frame.get("type"):
            case "welcome":
                return Welcome()
            case "ping":
                at = frame.get("message")
                return Ping(at if type(at) is int else None)
            case "disconnect":
                reason = frame.get("reason")
                return Disconnect(
                    reason if isinstance(reason, str) else "",
                    frame.get("reconnect") is not False,
                    _seconds(frame.get("retry_after_s")),
                )
            case "error":
                return _message(frame)
            case _ if frame.get("identifier") != self.identifier:
                return Unknown("another identifier")
            case "confirm_subscription":
                return Confirmed()
            case "reject_subscription":
                return Rejected()
            case None:
                return _message(frame)
            case other:
                return Unknown(f"type {other!r}"[:80])

    def _command(self, command: str, **fields: JsonValue) -> str:
        frame: dict[str, JsonValue] = {"command": command, "identifier": self.identifier, **fields}
        return jsontext.dumps(frame).decode("utf-8")


def _seconds(value: JsonValue) -> float:
    """Read a waiting time; what is none, or longer than a day, is not believed."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _DAY_S:
        return 0.0
    return float(value)


def _message(frame: Mapping[str, JsonValue]) -> Message | Unknown:
    payload = frame.get("message")
    return Message(payload) if isinstance(payload, dict) else Unknown("message is no object")
