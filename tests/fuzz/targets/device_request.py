"""The glasses' question, in all the shapes that have been seen and many more."""

from __future__ import annotations

import json
from typing import Final

from relay.devices.base import Ask, InvalidRequest
from relay.devices.binding_code import find_code, is_code, show_code
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.lingzhu_request import ID_CHARS_MAX, ITEMS_MAX
from relay.wire import jsontext
from relay.wire.sse import SseParser
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """It is an `Ask` whose ids fit a database, or an `InvalidRequest` that can be shown."""
    protocol = LingzhuProtocol()
    asked: Ask | InvalidRequest
    try:
        asked = protocol.read_request(data)
    except InvalidRequest as error:
        assert error.field
        assert error.message
        asked = error
    else:
        _usable(asked)
    assert asked.lang in {"zh", "en"}
    shown = protocol.encode_error(
        "bad_request",
        conversation_id=asked.conversation_id,
        agent_id=asked.agent_id,
        lang=asked.lang,
    )
    assert [event.event for event in SseParser().feed(shown)] == ["message", "done"]


def _usable(ask: Ask) -> None:
    for name in (ask.conversation_id, ask.agent_id, ask.user_id):
        assert len(name) <= ID_CHARS_MAX
        assert name.isprintable()
        name.encode()
    assert ask.conversation_id
    assert ask.agent_id
    assert ask.text
    assert len(ask.messages) <= ITEMS_MAX
    # What a bot is sent of it can be said.
    jsontext.dumps(ask.messages)
    jsontext.dumps(dict(ask.metadata))
    code = find_code(ask.text)
    assert code is None or (is_code(code) and find_code(show_code(code)) == code)


def seeds() -> list[bytes]:
    """The official shape, and the others that are tolerated."""
    ids = {"message_id": "1740000000000", "agent_id": "a" * 32, "user_id": "U1"}
    text = {"role": "user", "type": "text", "text": "hello", "image_url": None}
    image = {"role": "user", "type": "image", "image_url": "data:image/png;base64,AAAA"}
    bodies = [
        {**ids, "message": [text], "metadata": {"lang": "en-US", "context": {"language": "zh"}}},
        {**ids, "message": [{**text, "role": "agent"}, text, image]},
        {**ids, "message": "7KDQ4-XMB2T"},
        {**ids, "message": {"content": "七kdq4 xmb2t"}},
        {**ids, "query": "x", "message_id": 1740000000000, "user": 7},
        {**ids, "message": [{"type": "audio"}]},
        {"message": []},
    ]
    return [json.dumps(body).encode() for body in bodies]


TARGET: Final = Target(check, seeds)
