"""Comments for quiet streams, so that no proxy takes them for dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

SLOTS = 16
"""Streams that were opened together are not all written to in the same moment."""


class Quiet(Protocol):
    """Something that may be quiet for too long."""

    def keep_alive(self, comment: bytes) -> None:
        """Write the comment if nothing was written since it was asked last."""
        ...


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class KeepAlive:
    """Asks each of its streams twice in `every_s`, with one timer for all of them."""

    __slots__ = ("_at", "_call_later", "_comment", "_slots", "_step_s", "_timer")

    def __init__(self, comment: bytes, *, every_s: float, call_later: Callable[..., Timer]) -> None:
        self._comment = comment
        self._call_later = call_later
        self._step_s = every_s / 2 / SLOTS
        self._slots: tuple[set[Quiet], ...] = tuple(set() for _ in range(SLOTS))
        self._at = 0
        self._timer: Timer | None = None

    def add(self, stream: Quiet) -> None:
        """Begin to ask this stream."""
        # Its turn comes half of the time from now.
        self._slots[self._at].add(stream)
        if self._timer is None:
            self._timer = self._call_later(self._step_s, self._turn)

    def remove(self, stream: Quiet) -> None:
        """Ask it no more. Idempotent."""
        for slot in self._slots:
            slot.discard(stream)

    def _turn(self) -> None:
        self._at = (self._at + 1) % SLOTS
        # First: one stream's failure must not end the others' comments.
        self._timer = self._call_later(self._step_s, self._turn) if any(self._slots) else None
        for stream in tuple(self._slots[self._at]):
            stream.keep_alive(self._comment)
