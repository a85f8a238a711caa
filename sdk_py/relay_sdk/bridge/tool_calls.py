"""A model's tool calls, put together from the pieces that a stream brings.

The name and the id come with a call's first piece, the arguments are JSON text in pieces. `index`
says which call a piece belongs to; some endpoints leave it out, or give each call the same
one, and then a new id means a new call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

CALLS_MAX = 16
"""Calls of one answer; glasses act on one or two."""
ARGUMENTS_CHARS_MAX = 16_384


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model wrote it. `arguments` is text that should be a JSON object."""

    id: str
    name: str
    arguments: str


class FunctionPiece(Protocol):
    """The function of a piece."""

    @property
    def name(self) -> str | None:
        """In the first piece of a call."""
        ...

    @property
    def arguments(self) -> str | None:
        """The next part of the arguments."""
        ...


class ToolCallPiece(Protocol):
    """One item of `delta.tool_calls`."""

    @property
    def index(self) -> int | None:
        """Which call it belongs to."""
        ...

    @property
    def id(self) -> str | None:
        """In the first piece of a call."""
        ...

    @property
    def function(self) -> FunctionPiece | None:
        """What it adds."""
        ...


@dataclass(slots=True)
class _Growing:
    index: int | None
    id: str
    name: str = ""
    arguments: str = ""


class ToolCallParts:
    """The calls of one answer while they are coming in."""

    def __init__(self) -> None:
        self._calls: list[_Growing] = []

    def add(self, pieces: Sequence[ToolCallPiece]) -> None:
        """Take the pieces of one part. What exceeds the limits is dropped."""
        for piece in pieces:
            call = self._call_of(piece)
            if call is None or piece.function is None:
                continue
            call.name = call.name or piece.function.name or ""
            room = ARGUMENTS_CHARS_MAX - len(call.arguments)
            call.arguments += (piece.function.arguments or "")[:room]

    def whole(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order in which they began."""
        return tuple(
            ToolCall(call.id or f"call_{number}", call.name, call.arguments)
            for number, call in enumerate(self._calls)
            if call.name
        )

    def _call_of(self, piece: ToolCallPiece) -> _Growing | None:
        # `construct`ed without validation by the library: what an endpoint leaves out is missing.
        index: int | None = getattr(piece, "index", None)
        name = piece.function.name if piece.function else None
        for call in reversed(self._calls):
            if call.index == index:
                another_id = piece.id and call.id and piece.id != call.id
                if another_id or (index is None and name and call.name):
                    break
                call.id = call.id or piece.id or ""
                return call
        if len(self._calls) >= CALLS_MAX:
            return None
        call = _Growing(index, piece.id or "")
        self._calls.append(call)
        return call
