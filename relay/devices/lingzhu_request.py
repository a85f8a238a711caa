"""Reads a Lingzhu request, in all the shapes that have been seen.

The official document, real traffic and older community bridges disagree, so this is tolerant where
a difference cannot change the meaning:

    items         `content` for `text`; a missing type or role; several items, other roles
    images        in `image_url`, `image`, or in the text of an image item; `data:` URLs
    the question  a lone string or object for `message`, or top-level `text|query|content|input`
    ids           numbers for strings; `user` for `user_id`
    metadata      flat or nested in `context`, or absent; `language` for `lang`

Only `message_id`, `agent_id` and something to ask are required.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.devices.base import Ask, InvalidRequest
from relay.devices.texts import text as relay_text
from relay.wire import jsontext
from relay.wire.jsontext import JsonValue

ID_CHARS_MAX = 256
"""Real ids have 13 to 32 characters."""
ITEMS_MAX = 256
"""Real requests have one."""

_NOT_THE_USER = frozenset({"agent", "assistant", "bot", "system", "tool"})

Body = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class _Item:
    """One message item, normalised. `kind` is `text`, `image` or what the sender called it."""

    is_user: bool
    kind: str
    text: str
    image: str


def read_request(body: bytes) -> Ask:
    """Return what is asked. Raises `InvalidRequest`."""
    try:
        fields = jsontext.loads(body)
    except jsontext.MalformedJson as error:
        raise InvalidRequest(f"the body is not JSON: {error}", field="body") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object", field="body")
    metadata = fields.get("metadata")
    lang = _language(metadata if isinstance(metadata, dict) else {})
    conversation_id, agent_id = _id(fields.get("message_id")), _id(fields.get("agent_id"))
    messages = _messages(fields)
    question = _question([_item(message) for message in messages], lang)

    def invalid(message: str, field: str) -> InvalidRequest:
        return InvalidRequest(
            message,
            field=field,
            conversation_id=conversation_id or "",
            agent_id=agent_id or "",
            lang=lang,
        )

    if not conversation_id:
        raise invalid("message_id is required", "message_id")
    if not agent_id:
        raise invalid("agent_id is required", "agent_id")
    if len(messages) > ITEMS_MAX:
        raise invalid(f"message has more than {ITEMS_MAX} items", "message")
    if question is None:
        raise invalid("message must be an array with something that the user says", "message")
    return Ask(
        conversation_id=conversation_id,
        agent_id=agent_id,
        user_id=_id(fields.get("user_id")) or _id(fields.get("user")) or "",
        text=question[0],
        messages=messages,
        metadata=metadata if isinstance(metadata, dict) else {},
        images=question[1],
        lang=lang,
    )


def _language(metadata: Body) -> str:
    context = metadata.get("context")
    for place in (metadata, context if isinstance(context, dict) else {}):
        for key in ("lang", "language"):
            value = place.get(key)
            if isinstance(value, str) and value.strip():
                return "en" if value.strip().lower().startswith("en") else "zh"
    return "zh"


def _id(value: JsonValue) -> str | None:
    """Return an id, or None where it is missing or unusable.

    Control characters and lone surrogates are refused here because ids go into keys and rows.
    """
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        return None
    return value if len(value) <= ID_CHARS_MAX and value.isprintable() else None


def _messages(fields: Body) -> list[JsonValue]:
    message = fields.get("message")
    if isinstance(message, list):
        return message
    if isinstance(message, (str, dict)):
        return [message]
    for key in ("text", "query", "content", "input"):
        value = fields.get(key)
        if isinstance(value, str):
            return [value]
    return []


def _item(message: JsonValue) -> _Item:
    if isinstance(message, str):
        return _Item(is_user=True, kind="text", text=message, image="")
    if not isinstance(message, dict):
        return _Item(is_user=True, kind="unknown", text="", image="")
    role = message.get("role")
    text = _first_string(message, "content", "text")
    image = _first_string(message, "image_url", "image")
    kind = message.get("type")
    if not isinstance(kind, str):
        kind = "image" if image and not text else "text"
    if kind == "image" and not image:
        # Older documents put the URL where the words go.
        text, image = "", text
    is_user = not (isinstance(role, str) and role.lower() in _NOT_THE_USER)
    return _Item(is_user, kind, text, image)


def _first_string(message: Body, *keys: str) -> str:
    for key in keys:
        value = message.get(key)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _question(items: list[_Item], lang: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the words and images of the user's current turn, or None where there are none.

    The turn is what the user says behind the last thing that anybody else said.
    """
    while items and not items[-1].is_user:
        items = items[:-1]
    turn: list[_Item] = []
    for item in reversed(items):
        if not item.is_user:
            break
        turn.append(item)
    images = tuple(item.image for item in reversed(turn) if item.image)
    words = next((item.text for item in turn if item.text), "")
    if words:
        return words, images
    if images:
        return relay_text("image", lang), images
    if any(item.kind not in {"text", "image"} for item in turn):
        return relay_text("unknown", lang), ()
    return None
