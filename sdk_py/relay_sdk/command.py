"""What the bot is asked, and what the device says about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay.wire.bot_messages import Command as WireCommand
from relay.wire.jsontext import JsonValue

_IMAGE_KEYS = ("image_url", "image", "content", "text")
_CONVERSATION_KEYS = ("conversation_id", "message_id", "openclaw_session_id")


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """Where the device is and how it is. What it did not say is an empty string."""

    location: str = ""
    """A name or address, as the device gives it."""
    latitude: str = ""
    """Decimal degrees."""
    longitude: str = ""
    """Decimal degrees."""
    weather: str = ""
    """Free text, often of several lines."""
    battery: str = ""
    """Per cent, without the sign."""
    lang: str = ""
    """A language tag, for example `zh-CN`."""
    time: str = ""
    """The device's local time, `YYYY-MM-DD HH:MM:SS`."""


@dataclass(frozen=True, slots=True)
class Command:
    """One question of one device."""

    stream_id: str
    """The answer's stream. New for every question."""
    text: str
    """What the user said."""
    images: tuple[str, ...] = ()
    """URLs of pictures that came with the question; most live only for minutes."""
    conversation_id: str = ""
    """The same for all questions of one conversation."""
    user_id: str = ""
    agent_id: str = ""
    trace_id: str = ""
    """Names this question in the relay's traces."""
    messages: tuple[Mapping[str, JsonValue], ...] = ()
    """The device's message items as received."""
    metadata: Mapping[str, JsonValue] | None = None
    """Everything that the relay said about the question."""

    @property
    def device(self) -> DeviceContext:
        """The device's context, whether it was sent flat or nested."""
        return _read_context(self.metadata or {})


def read_command(wire: WireCommand) -> Command:
    """Return the typed command. Whatever is missing or odd becomes empty, never an error."""
    payload = wire.payload
    metadata = _mapping(payload.get("metadata"))
    params = _mapping(payload.get("params"))
    items = metadata.get("full_messages", payload.get("message"))
    listed = items if isinstance(items, list) else []
    messages = tuple(item for item in listed if isinstance(item, dict))
    return Command(
        stream_id=wire.stream_id,
        text=_text(params, "message") or _text(payload, "message"),
        images=tuple(_images(messages)),
        conversation_id=_first(metadata, _CONVERSATION_KEYS),
        user_id=_text(metadata, "user_id") or _text(payload, "user_id"),
        agent_id=_text(metadata, "agent_id"),
        trace_id=_text(metadata, "trace_id"),
        messages=messages,
        metadata=metadata,
    )


def _read_context(metadata: Mapping[str, JsonValue]) -> DeviceContext:
    # The relay forwards the device's own metadata in `original_metadata`; documents nest the
    # values below `context`, real devices do not.
    layers = [metadata]
    for layer in (_mapping(metadata.get("original_metadata")), metadata):
        layers.insert(0, layer)
        layers.insert(0, _mapping(layer.get("context")))

    def first(*keys: str) -> str:
        return next((found for layer in layers if (found := _first(layer, keys))), "")

    return DeviceContext(
        location=first("location"),
        latitude=first("latitude"),
        longitude=first("longitude"),
        weather=first("weather"),
        battery=first("battery").rstrip("% "),
        lang=first("lang", "language"),
        time=first("currentTime", "current_time"),
    )


def _images(messages: tuple[Mapping[str, JsonValue], ...]) -> Iterator[str]:
    for item in messages:
        if item.get("type") == "image" or _text(item, "image_url"):
            url = _first(item, _IMAGE_KEYS)
            if url.startswith(("http://", "https://", "data:")):
                yield url


def _mapping(value: object) -> dict[str, JsonValue]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _first(layer: Mapping[str, JsonValue], keys: Sequence[str]) -> str:
    return next((found for key in keys if (found := _text(layer, key))), "")


def _text(layer: Mapping[str, JsonValue], key: str) -> str:
    value = layer.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""
