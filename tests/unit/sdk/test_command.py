from __future__ import annotations

import pytest

from relay.wire.bot_messages import Command as WireCommand
from relay.wire.jsontext import JsonValue
from relay_sdk.command import Command, DeviceContext, read_command

CONTEXT: dict[str, JsonValue] = {
    "location": "Hangzhou",
    "latitude": "30.27",
    "longitude": "120.15",
    "weather": "sunny\n21 degrees",
    "battery": "28%",
    "lang": "zh-CN",
    "currentTime": "2026-02-27 10:00:00",
}


def read(payload: dict[str, JsonValue]) -> Command:
    """The command of a payload on stream s1."""
    return read_command(WireCommand("s1", payload, 10))


def test_a_command_is_read_whole() -> None:
    """Text, conversation, user, agent, trace and the items, as the relay sends them."""
    item: JsonValue = {"role": "user", "type": "text", "text": "hi", "image_url": None}
    metadata: dict[str, JsonValue] = {
        "session_id": "s1",
        "conversation_id": "c1",
        "user_id": "u1",
        "agent_id": "a1",
        "trace_id": "trace_1",
        "full_messages": [item],
        "original_metadata": CONTEXT,
    }
    command = read({"command": "chat", "params": {"message": "hi"}, "metadata": metadata})
    assert (command.stream_id, command.text, command.conversation_id) == ("s1", "hi", "c1")
    assert (command.user_id, command.agent_id, command.trace_id) == ("u1", "a1", "trace_1")
    assert command.messages == (item,)
    assert command.images == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {"original_metadata": CONTEXT},
        {"original_metadata": {"context": CONTEXT}},
        {"context": CONTEXT},
        CONTEXT,
        {"original_metadata": {"context": '{"location": "Hangzhou"}', **CONTEXT}},
    ],
)
def test_the_device_context_is_read_flat_and_nested(metadata: dict[str, JsonValue]) -> None:
    """Documents nest it, real devices do not; the battery loses its sign."""
    assert read({"metadata": metadata}).device == DeviceContext(
        location="Hangzhou",
        latitude="30.27",
        longitude="120.15",
        weather="sunny\n21 degrees",
        battery="28",
        lang="zh-CN",
        time="2026-02-27 10:00:00",
    )


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"params": None, "metadata": None},
        {"params": "hi", "metadata": "x", "message": [1, None, "x"]},
        {"params": {"message": {}}, "metadata": {"original_metadata": {"context": "somewhere"}}},
        {"metadata": {"full_messages": {"a": 1}, "trace_id": True}},
    ],
)
def test_an_odd_command_is_an_empty_one(payload: dict[str, JsonValue]) -> None:
    """Nothing that a device or relay says can break the bot."""
    command = read(payload)
    assert (command.text, command.images, command.trace_id) == ("", (), "")
    assert command.device == DeviceContext()


def test_images_are_found_under_every_name_in_use() -> None:
    """`image_url` by the platform, `text` or `image` by others; no other URL is taken for one."""
    items: JsonValue = [
        {"type": "image", "image_url": "https://cdn/1.webp", "text": None},
        {"type": "image", "text": "https://cdn/2.webp"},
        {"image_url": "data:image/png;base64,AA"},
        {"type": "text", "text": "https://no.picture"},
        {"type": "image", "text": "a lobster"},
    ]
    command = read({"metadata": {"full_messages": items}})
    expected = ("https://cdn/1.webp", "https://cdn/2.webp", "data:image/png;base64,AA")
    assert command.images == expected


def test_a_question_of_a_worker_has_its_items_at_the_top() -> None:
    """`/api/rokid/trigger` puts `message` and `user_id` beside the metadata."""
    items: JsonValue = [{"role": "user", "type": "text", "text": "hi"}]
    command = read({"params": {"message": "hi"}, "message": items, "user_id": "u1"})
    assert (command.user_id, len(command.messages)) == ("u1", 1)
