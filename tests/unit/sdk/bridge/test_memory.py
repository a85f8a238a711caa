from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay_sdk.bridge.memory import (
    Memory,
    MemoryLimits,
    Turn,
    as_messages,
    shows_picture,
)
from relay_sdk.bridge.tool_calls import ToolCall

KEY = ("user", "conversation")
PHOTO = ToolCall("call_a", "take_photo", "")


def user(text: str) -> dict[str, object]:
    """Return a message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, object]:
    """Return a message of the model."""
    return {"role": "assistant", "content": text}


def picture(url: str) -> dict[str, object]:
    """Return the part of a message that shows a picture."""
    return {"type": "image_url", "image_url": {"url": url}}


# --- limits -----------------------------------------------------------------------------


def test_turns_are_kept_in_order_up_to_their_limit() -> None:
    """The oldest ones go."""
    memory = Memory(MemoryLimits(turns_max=2))
    for text in ("one", "two", "three"):
        memory.remember(KEY, Turn(text))
    assert [turn.question for turn in memory.recall(KEY)] == ["two", "three"]


def test_characters_are_limited_by_dropping_old_turns() -> None:
    """Questions, answers, calls and addresses of pictures count."""
    memory = Memory(MemoryLimits(chars_max=20))
    memory.remember(KEY, Turn("12345", answer="12345"))
    memory.remember(KEY, Turn("12345", answer="12345"))
    assert len(memory.recall(KEY)) == 2
    memory.remember(KEY, Turn("1", images=("12",), calls=(ToolCall("c", "34", "5"),)))
    assert [turn.question for turn in memory.recall(KEY)] == ["12345", "1"]


def test_a_turn_that_is_too_long_alone_loses_its_pictures_first() -> None:
    """A picture within the address may have a megabyte."""
    memory = Memory(MemoryLimits(chars_max=20))
    memory.remember(KEY, Turn("what is this?", images=("data:" + "x" * 100,), answer="a cat"))
    assert memory.recall(KEY) == (Turn("what is this?", answer="a cat"),)


def test_a_turn_that_is_much_too_long_is_shortened() -> None:
    """Its beginning is kept."""
    memory = Memory(MemoryLimits(chars_max=20))
    memory.remember(KEY, Turn("q" * 50, answer="a" * 50, calls=(PHOTO,)))
    assert memory.recall(KEY) == (Turn("q" * 10, answer="a" * 10),)


def test_the_conversation_that_was_quiet_for_longest_is_forgotten() -> None:
    """To be asked again counts as being used."""
    memory = Memory(MemoryLimits(conversations_max=2))
    memory.remember(("user", "1"), Turn("one"))
    memory.remember(("user", "2"), Turn("two"))
    memory.recall(("user", "1"))
    memory.remember(("user", "3"), Turn("three"))
    assert memory.recall(("user", "1"))
    assert not memory.recall(("user", "2"))
    assert len(memory) == 2


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.text(max_size=30), st.text(max_size=30))))
def test_no_limit_is_ever_exceeded(turns: list[tuple[str, str, str]]) -> None:
    """Whatever is said, and by whom."""
    limits = MemoryLimits(turns_max=3, chars_max=40, conversations_max=2)
    memory = Memory(limits)
    for conversation, question, answer in turns:
        memory.remember(("user", conversation), Turn(question, answer=answer))
        kept = memory.recall(("user", conversation))
        assert 1 <= len(kept) <= limits.turns_max
        assert sum(turn.chars for turn in kept) <= limits.chars_max
        assert len(memory) <= limits.conversations_max


def test_users_do_not_share_a_conversation() -> None:
    """Devices name conversations by the clock, so two may choose the same name."""
    memory = Memory()
    memory.remember(("ada", "1772157600000"), Turn("one"))
    assert memory.recall(("ben", "1772157600000")) == ()


def test_a_conversation_without_a_name_is_not_kept() -> None:
    """It would be everybody's."""
    memory = Memory()
    memory.remember(("user", ""), Turn("one"))
    assert len(memory) == 0


def test_without_turns_nothing_is_kept() -> None:
    """For endpoints that remember by themselves."""
    memory = Memory(MemoryLimits(turns_max=0))
    memory.remember(KEY, Turn("one"))
    assert len(memory) == 0


# --- messages ---------------------------------------------------------------------------


def test_turns_become_messages() -> None:
    """Each is a question and an answer; the new question comes last."""
    messages = as_messages([Turn("hi", answer="hello")], Turn("how are you?"), sees=True)
    assert messages == [user("hi"), assistant("hello"), user("how are you?")]
    assert not shows_picture(messages)


def test_a_picture_is_shown_beside_the_words() -> None:
    """As parts of one message."""
    messages = as_messages([], Turn("what is this?", images=("https://a/1",)), sees=True)
    text = {"type": "text", "text": "what is this?"}
    assert messages == [{"role": "user", "content": [text, picture("https://a/1")]}]
    assert shows_picture(messages)


def test_a_lone_picture_has_no_words() -> None:
    """What the relay puts in their place is not for the model."""
    messages = as_messages([], Turn("[图片]", images=("https://a/1",)), sees=True)
    assert messages == [{"role": "user", "content": [picture("https://a/1")]}]


def test_a_model_that_does_not_see_is_told_of_the_picture() -> None:
    """So that it can say that it cannot see, instead of guessing."""
    note = "[The user sent a picture that you cannot see.]"
    shown = Turn("what is this?", images=("https://a/1",))
    assert as_messages([], shown, sees=False) == [user(f"what is this?\n{note}")]
    assert as_messages([], Turn("[图片]", images=("u",)), sees=False) == [user(note)]
    assert as_messages([], Turn("[image]"), sees=True) == [user(note)]


def test_only_the_newest_pictures_are_shown_again() -> None:
    """The user speaks about them; the older ones have become words."""
    old, new = Turn("one", images=("https://a/1",)), Turn("two", images=("https://a/2",))
    messages = as_messages([old, new], Turn("and its colour?"), sees=True)
    assert isinstance(messages[0]["content"], str)
    assert isinstance(messages[2]["content"], list)
    assert messages[4] == user("and its colour?")


def test_pictures_that_were_not_taken_are_not_tried_again() -> None:
    """Each try would cost a failing request."""
    turns = [Turn("one", images=("https://a/1",)), Turn("two", images=("https://a/2",), blind=True)]
    assert not shows_picture(as_messages(turns, Turn("and now?"), sees=True))
    new = Turn("three", images=("https://a/3",))
    assert shows_picture(as_messages(turns, new, sees=True))


def test_a_photo_that_was_asked_for_follows_its_call() -> None:
    """Call, result, picture: as the API wants it."""
    asked = Turn("what is this?", calls=(PHOTO,))
    messages = as_messages([asked], Turn("[图片]", images=("https://a/1",)), sees=True)
    function = {"name": "take_photo", "arguments": "{}"}
    assert messages[1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "The photo is in the next message."},
        {"role": "user", "content": [picture("https://a/1")]},
    ]


def test_a_photo_that_did_not_come_is_said() -> None:
    """The user spoke instead."""
    messages = as_messages([Turn("what is this?", calls=(PHOTO,))], Turn("never mind"), sees=True)
    assert messages[2]["content"] == "The user took no photo."


def test_other_calls_are_done_when_they_are_sent() -> None:
    """Every call has its result, or the API refuses the conversation."""
    calls = (ToolCall("a", "take_navigation", '{"action":"close"}'), PHOTO)
    turns = [Turn("stop", answer="Stopping.", calls=calls)]
    messages = as_messages(turns, Turn("thanks"), sees=True)
    assert messages[1]["content"] == "Stopping."
    assert [message.get("tool_call_id") for message in messages[2:4]] == ["a", "call_a"]
    assert messages[2]["content"] == "Sent to the glasses."
