from __future__ import annotations

import json

import pytest

from relay.devices.base import Ask, InvalidRequest
from relay.devices.lingzhu_request import ID_CHARS_MAX, ITEMS_MAX, read_request
from relay.devices.texts import TEXTS
from relay.wire.jsontext import JsonValue

Fields = dict[str, JsonValue]

USER_ITEM: Fields = {"role": "user", "type": "text", "text": "今天天气怎么样", "image_url": None}
REAL: Fields = {
    "message_id": "1772181665123",
    "agent_id": "0123456789abcdef0123456789abcdef",
    "user_id": "0123456789ABCDEF0123456789ABCDEF",
    "message": [USER_ITEM],
    "metadata": {
        "lang": "zh-CN",
        "location": "杭州",
        "company_id": 1,
        "latitude": "30.1",
        "currentTime": "2026-02-27 16:41:05",
        "weather": "多云\n12°",
        "battery": "28",
        "runningApp": "",
    },
}


def read(fields: Fields) -> Ask:
    """Read a body with these fields."""
    return read_request(json.dumps(fields).encode())


def ask(**fields: JsonValue) -> Ask:
    """Read a body that has what is required, and these fields."""
    return read({"message_id": "m", "agent_id": "a", "message": [USER_ITEM], **fields})


def item(**fields: JsonValue) -> list[JsonValue]:
    """Return one item of the user."""
    return [{"role": "user", **fields}]


def test_real_traffic_is_read_in_full() -> None:
    """One item, all four keys, flat metadata: as recorded from the platform."""
    assert read(REAL) == Ask(
        conversation_id="1772181665123",
        agent_id="0123456789abcdef0123456789abcdef",
        user_id="0123456789ABCDEF0123456789ABCDEF",
        text="今天天气怎么样",
        messages=[USER_ITEM],
        metadata=REAL["metadata"],  # type: ignore[arg-type]
        images=(),
        lang="zh",
    )


def test_the_official_shape_is_read_too() -> None:
    """Metadata nested in `context`, kept as received."""
    metadata: Fields = {"context": {"location": "x", "battery": "28%", "lang": "en-US"}}
    assert ask(metadata=metadata).metadata == metadata
    assert ask(metadata=metadata).lang == "en"


@pytest.mark.parametrize(
    ("metadata", "lang"),
    [
        ({"lang": "en"}, "en"),
        ({"lang": "EN_gb"}, "en"),
        ({"language": " english"}, "en"),
        ({"lang": "", "language": "en"}, "en"),
        ({"context": {"language": "en"}}, "en"),
        ({"lang": "zh-CN", "context": {"lang": "en"}}, "zh"),
        ({"lang": "fr"}, "zh"),
        ({"lang": 5}, "zh"),
        ({"context": "sunny"}, "zh"),
        ({}, "zh"),
        (None, "zh"),
        ("en", "zh"),
        (["en"], "zh"),
    ],
)
def test_the_language_is_english_where_it_says_so(metadata: JsonValue, lang: str) -> None:
    """Everything that starts with `en`, wherever it stands; Chinese for all else."""
    assert ask(metadata=metadata).lang == lang


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (item(type="text", text="hi"), "hi"),
        (item(text="hi"), "hi"),
        (item(content="hi"), "hi"),
        (item(content="hi", text="no"), "hi"),
        (item(content=None, text="hi"), "hi"),
        (item(content="", text="hi"), "hi"),
        ([{"type": "text", "text": "hi"}], "hi"),
        (["hi"], "hi"),
        ("hi", "hi"),
        ({"role": "user", "text": "hi"}, "hi"),
        (item(text=" hi\r\n\0 "), " hi\r\n\0 "),
        (item(text="old") + item(text="hi"), "hi"),
        ([*item(text="hi"), {"role": "agent", "text": "no"}], "hi"),
        ([*item(text="old"), {"role": "Assistant", "text": "no"}, *item(text="hi")], "hi"),
        ([{"role": "system", "text": "no"}, *item(text="hi")], "hi"),
        ([{"role": "wearer", "text": "hi"}], "hi"),
        ([{"role": 5, "text": "hi"}], "hi"),
    ],
)
def test_the_question_is_what_the_user_said_last(message: JsonValue, text: str) -> None:
    """In all shapes seen: `content`, missing types and roles, several items, a lone string."""
    assert ask(message=message).text == text


@pytest.mark.parametrize("key", ["text", "query", "content", "input"])
def test_a_question_may_stand_at_the_top(key: str) -> None:
    """Some bridges send no array of messages."""
    fields: Fields = {"message_id": "m", "agent_id": "a", key: "hi"}
    assert read(fields).text == "hi"
    assert read(fields).messages == ["hi"]


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image", "image_url": "https://cdn.example/1.webp"},
        {"type": "image", "image": "https://cdn.example/1.webp"},
        {"type": "image", "text": "https://cdn.example/1.webp"},
        {"type": "image", "content": "https://cdn.example/1.webp"},
        {"image_url": "https://cdn.example/1.webp", "text": None},
    ],
)
def test_a_lone_image_is_a_question(image: Fields) -> None:
    """Its URL is found under every key seen, and a placeholder stands for the words."""
    found = ask(message=item(**image))
    assert found.images == ("https://cdn.example/1.webp",)
    assert found.text == TEXTS["image"]["zh"]


def test_images_and_words_of_one_turn_belong_together() -> None:
    """In the order given; the images of earlier turns are left out."""
    data_url = "data:image/png;base64,AA=="
    message: list[JsonValue] = [
        *item(type="image", image_url="old"),
        {"role": "agent", "text": "nice"},
        *item(type="image", image_url="one"),
        *item(type="text", text="what is this?"),
        *item(type="image", image_url=data_url),
    ]
    found = ask(message=message, metadata={"lang": "en"})
    assert found.images == ("one", data_url)
    assert found.text == "what is this?"
    assert found.messages == message


@pytest.mark.parametrize("message", [item(type="audio", url="x"), [5]])
def test_content_of_an_unknown_kind_has_a_placeholder(message: JsonValue) -> None:
    """The bot learns that something was said that it cannot see."""
    assert ask(message=message).text == TEXTS["unknown"]["zh"]


@pytest.mark.parametrize(
    ("fields", "user_id"),
    [
        ({"user_id": "u"}, "u"),
        ({"user": "u"}, "u"),
        ({"user_id": "", "user": "u"}, "u"),
        ({"user_id": 5}, "5"),
        ({"user_id": ["u"]}, ""),
        ({"user": {"id": "u"}}, ""),
        ({}, ""),
    ],
)
def test_the_user_is_optional(fields: Fields, user_id: str) -> None:
    """In either key; unusable ones are no user."""
    assert ask(**fields).user_id == user_id


def test_ids_may_be_numbers() -> None:
    """A 13-digit timestamp is easily written without its quotes."""
    assert ask(message_id=1772181665123).conversation_id == "1772181665123"


def test_ids_are_kept_as_they_are() -> None:
    """Characters that separate elsewhere are ordinary here."""
    assert ask(agent_id=" a:_/🦞").agent_id == " a:_/🦞"


def refused(fields: Fields) -> InvalidRequest:
    """Read a body that must be refused."""
    with pytest.raises(InvalidRequest) as error:
        read(fields)
    return error.value


@pytest.mark.parametrize("field", ["message_id", "agent_id"])
@pytest.mark.parametrize(
    "value", [None, "", "  ", True, 1.5, [], {}, "a\0", "a\n", "\ud83e", "x" * (ID_CHARS_MAX + 1)]
)
def test_both_ids_are_required(field: str, value: JsonValue) -> None:
    """Missing, of a wrong type, too long, or with characters that no key may hold."""
    fields: Fields = {**REAL, field: value}
    assert refused(fields).field == field
    del fields[field]
    assert refused(fields).field == field


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        "",
        5,
        item(type="text", text=""),
        item(type="text", text=" \n"),
        item(type="text"),
        item(type="image", image_url=None),
        item(text=5),
        [{"role": "agent", "text": "hi"}],
        [{"role": "system", "text": "hi"}],
        ["hi"] * (ITEMS_MAX + 1),
    ],
)
def test_something_must_be_asked(message: JsonValue) -> None:
    """An empty question is sent back to the user, not to the bot."""
    assert refused({**REAL, "message": message}).field == "message"


def test_a_refusal_can_be_shown_where_the_question_was_asked() -> None:
    """It carries the ids and the language as far as they could be read."""
    error = refused({**REAL, "message": [], "metadata": {"lang": "en"}})
    assert (error.conversation_id, error.agent_id, error.lang) == (
        REAL["message_id"],
        REAL["agent_id"],
        "en",
    )
    error = refused({**REAL, "message_id": None, "metadata": None})
    assert (error.conversation_id, error.agent_id, error.lang) == ("", REAL["agent_id"], "zh")
    assert "message_id" in error.message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'"x"', b'{"n":NaN}', b"[" * 99])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """With nothing known but that it is the body."""
    with pytest.raises(InvalidRequest) as error:
        read_request(body)
    assert (error.value.field, error.value.lang) == ("body", "zh")
