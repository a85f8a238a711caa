"""What a device protocol is: how a request is read and how an entry looks on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from relay.protocol.events import Entry
from relay.wire.jsontext import JsonValue


@dataclass(frozen=True, slots=True)
class Ask:
    """A device's question, whatever protocol it came by."""

    conversation_id: str
    """The device's `message_id`. It names a conversation: the next turn has the same one."""
    agent_id: str
    user_id: str
    text: str
    """What the user said: the newest user item, or a placeholder for a lone image."""
    messages: list[JsonValue] = field(default_factory=list)
    """The items as received."""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    """The metadata as received, flat or nested."""
    images: tuple[str, ...] = ()
    lang: str = "zh"
    """`"zh"` or `"en"`: the language of what the relay itself says."""


@dataclass(frozen=True, slots=True)
class StreamView:
    """What an encoder needs to know of the stream beside the entry itself."""

    stream_id: str
    epoch: str
    conversation_id: str
    agent_id: str
    lang: str
    trace_id: str = ""
    bot_id: int | None = None

    @property
    def names(self) -> dict[str, str | int | None]:
        """What each log line about the stream carries."""
        return {"stream_id": self.stream_id, "trace_id": self.trace_id, "bot_id": self.bot_id}


class InvalidRequest(ValueError):
    """A device's request cannot be understood; `field` names what is wrong with it.

    `conversation_id`, `agent_id` and `lang` are set as far as they could be read, so that the error
    can still be shown where the question was asked, and in its language.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str,
        conversation_id: str = "",
        agent_id: str = "",
        lang: str = "zh",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.conversation_id = conversation_id
        self.agent_id = agent_id
        self.lang = lang


class Encoder(Protocol):
    """Writes the entries of one stream."""

    __slots__ = ()

    def encode(self, entry: Entry) -> bytes:
        """Return what `DeviceProtocol.encode` does."""
        ...


class DeviceProtocol(Protocol):
    """One kind of device. Implementations are stateless, pure, and one file each."""

    name: str
    """Short and stable, for example `"lingzhu"`."""
    can_resume: bool
    """Whether a device of this kind comes back with `Last-Event-ID`."""

    def encode(self, entry: Entry, view: StreamView) -> bytes:
        """Return the SSE frames for one entry; empty where it is not shown."""
        ...

    def encoder(self, view: StreamView) -> Encoder:
        """Return what encodes the entries of one stream, as `encode` does.

        What is the same in all of a stream's events is made only once.
        """
        ...
