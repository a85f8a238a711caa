"""What was said before, by conversation, within limits.

A turn is kept as what it was (words, pictures, calls), and becomes messages only when the next
question is asked. So what depends on later turns is decided late: whether the photo that the model
asked for has come, and which pictures are still worth showing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from relay.wire.jsontext import JsonValue
from relay_sdk.bridge.tool_calls import ToolCall

Message = dict[str, JsonValue]
"""One item of `messages` in a chat completion."""

ConversationKey = tuple[str, str]
"""User and conversation. Never joined into one string: `("a", "b:c")` is not `("a:b", "c")`."""

TAKE_PHOTO: Final = "take_photo"
_PLACEHOLDERS = frozenset({"[图片]", "[image]"})
"""What the relay puts for the words of a lone picture (relay/devices/texts.py)."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer."""

    question: str
    images: tuple[str, ...] = ()
    """URLs."""
    answer: str = ""
    calls: tuple[ToolCall, ...] = ()
    blind: bool = False
    """Whether the endpoint took the question only without the pictures."""

    @property
    def has_picture(self) -> bool:
        """Whether the user sent a picture, even where it is not kept."""
        return bool(self.images) or self.question in _PLACEHOLDERS

    @property
    def chars(self) -> int:
        """What it counts against the limit."""
        calls = sum(len(call.name) + len(call.arguments) for call in self.calls)
        return len(self.question) + len(self.answer) + calls + sum(map(len, self.images))


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How much is kept. No turns: nothing is."""

    turns_max: int = 20
    """Per conversation."""
    chars_max: int = 24_000
    """Per conversation; some 6,000 to 24,000 tokens, by language."""
    conversations_max: int = 1_000
    """The one that was quiet for longest is forgotten first."""


class Memory:
    """The turns of many conversations."""

    def __init__(self, limits: MemoryLimits | None = None) -> None:
        self._limits = limits or MemoryLimits()
        self._turns: OrderedDict[ConversationKey, tuple[Turn, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def recall(self, key: ConversationKey) -> tuple[Turn, ...]:
        """Return the turns of a conversation, oldest first."""
        if key in self._turns:
            self._turns.move_to_end(key)
        return self._turns.get(key, ())

    def remember(self, key: ConversationKey, turn: Turn) -> None:
        """Add a turn. A conversation without a name is not kept: it would be everybody's."""
        if self._limits.turns_max < 1 or not key[1]:
            return
        turns = (*self.recall(key), _fitted(turn, self._limits.chars_max))
        turns = turns[-self._limits.turns_max :]
        while sum(turn.chars for turn in turns) > self._limits.chars_max:
            turns = turns[1:]
        self._turns[key] = turns
        self._turns.move_to_end(key)
        while len(self._turns) > self._limits.conversations_max:
            self._turns.popitem(last=False)


def _fitted(turn: Turn, chars_max: int) -> Turn:
    """Return the turn in a form that fits alone: without pictures, then shortened."""
    if turn.chars > chars_max:
        turn = replace(turn, images=())
    if turn.chars > chars_max:
        half = chars_max // 2
        turn = replace(turn, question=turn.question[:half], answer=turn.answer[:half], calls=())
    return turn


def as_messages(turns: Sequence[Turn], question: Turn, *, sees: bool) -> list[Message]:
    """Return the turns and the question as messages of a chat completion.

    Of all pictures only the newest ones are shown: they are what the user speaks about, each costs
    as much as a long text, and addresses of older ones have expired. What the endpoint did not take
    once is not tried again.
    """
    whole = [*turns, question]
    tried = max((n for n, turn in enumerate(whole) if turn.blind), default=-1)
    newest = max((n for n, turn in enumerate(whole) if turn.images), default=-1)
    messages: list[Message] = []
    for number, turn in enumerate(whole):
        messages.append(_user(turn, sees=sees and tried < number == newest))
        if number < len(turns):
            messages += _assistant(turn, photo_came=whole[number + 1].has_picture)
    return messages


def shows_picture(messages: Sequence[Message]) -> bool:
    """Return whether a model needs eyes for these messages."""
    return any(isinstance(message["content"], list) for message in messages)


def _user(turn: Turn, *, sees: bool) -> Message:
    if not turn.has_picture:
        return {"role": "user", "content": turn.question}
    words = "" if turn.question in _PLACEHOLDERS else turn.question
    if not (sees and turn.images):
        note = "[The user sent a picture that you cannot see.]"
        return {"role": "user", "content": f"{words}\n{note}".lstrip()}
    parts: list[JsonValue] = [{"type": "text", "text": words}] if words else []
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in turn.images]
    return {"role": "user", "content": parts}


def _assistant(turn: Turn, *, photo_came: bool) -> Iterable[Message]:
    if not turn.calls:
        yield {"role": "assistant", "content": turn.answer}
        return
    calls: list[JsonValue] = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call in turn.calls
    ]
    yield {"role": "assistant", "content": turn.answer or None, "tool_calls": calls}
    for call in turn.calls:
        yield {"role": "tool", "tool_call_id": call.id, "content": _result(call, photo_came)}


def _result(call: ToolCall, photo_came: bool) -> str:  # noqa: FBT001 - private
    if call.name != TAKE_PHOTO:
        return "Sent to the glasses."
    return "The photo is in the next message." if photo_came else "The user took no photo."
