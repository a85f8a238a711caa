from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

from relay_sdk.bridge.tool_calls import (
    ARGUMENTS_CHARS_MAX,
    CALLS_MAX,
    ToolCall,
    ToolCallParts,
    ToolCallPiece,
)


@dataclass
class Function:
    name: str | None = None
    arguments: str | None = None


@dataclass
class Piece:
    index: int | None = 0
    id: str | None = None
    function: Function | None = None


def assembled(*pieces: ToolCallPiece) -> tuple[ToolCall, ...]:
    """Return the calls that these pieces make, coming one by one."""
    parts = ToolCallParts()
    for piece in pieces:
        parts.add([piece])
    return parts.whole()


def test_arguments_are_joined_in_their_order() -> None:
    """Name and id come once, the arguments in pieces."""
    calls = assembled(
        Piece(0, "call_a", Function("take_navigation", "")),
        Piece(0, None, Function(None, '{"poi')),
        Piece(0, None, Function(None, '_name": "西湖"}')),
    )
    assert calls == (ToolCall("call_a", "take_navigation", '{"poi_name": "西湖"}'),)


def test_pieces_of_two_calls_may_alternate() -> None:
    """The index says whose piece it is."""
    calls = assembled(
        Piece(0, "a", Function("one", "")),
        Piece(1, "b", Function("two", "")),
        Piece(0, None, Function(None, "1")),
        Piece(1, None, Function(None, "2")),
    )
    assert calls == (ToolCall("a", "one", "1"), ToolCall("b", "two", "2"))


def test_a_new_id_is_a_new_call() -> None:
    """Some endpoints give every call the index 0."""
    calls = assembled(Piece(0, "a", Function("one", "{}")), Piece(0, "b", Function("two", "{}")))
    assert [call.id for call in calls] == ["a", "b"]


def test_the_same_id_in_every_piece_is_one_call() -> None:
    """Others repeat the id."""
    calls = assembled(Piece(0, "a", Function("one", "{")), Piece(0, "a", Function("one", "}")))
    assert calls == (ToolCall("a", "one", "{}"),)


def test_without_an_index_a_name_begins_a_call() -> None:
    """Whole calls, one behind the other, without index and id."""
    bare = [SimpleNamespace(id=None, function=Function(name, "{}")) for name in ("one", "two")]
    calls = assembled(*(cast("ToolCallPiece", piece) for piece in bare))
    assert calls == (ToolCall("call_0", "one", "{}"), ToolCall("call_1", "two", "{}"))


def test_a_call_without_a_name_is_none() -> None:
    """Arguments of nothing call nothing."""
    assert assembled(Piece(0, "a", None), Piece(0, None, Function(None, "{}"))) == ()


def test_calls_and_arguments_have_limits() -> None:
    """A model that runs wild costs no memory."""
    many = assembled(*(Piece(n, f"c{n}", Function("one", "{}")) for n in range(CALLS_MAX + 5)))
    assert len(many) == CALLS_MAX
    long = assembled(*(Piece(0, None, Function("one", "x" * 10_000)) for _ in range(5)))
    assert len(long[0].arguments) == ARGUMENTS_CHARS_MAX
