"""Which streams a legacy connection is answering.

Legacy bots (protocol 1) count per connection, may leave out the stream's id (2.0.x), and
cannot be cancelled. So the relay has to know what the bot is still busy with, which is not
the same as what the relay still has open.
"""

from __future__ import annotations

from collections.abc import Callable

KEYS_MAX = 64
"""How many of the bot's own stream keys are remembered."""


class LegacyTurns:
    """The questions that one connection was asked and has not ended, oldest first.

    `chunk_at` is asked when a chunk of a stream was last acknowledged, None where none was: to note
    it here as well is what every chunk would pay for.
    """

    __slots__ = ("_active", "_chunk_at", "_keys", "_stale_after_s")

    def __init__(self, *, stale_after_s: float, chunk_at: Callable[[str], float | None]) -> None:
        self._stale_after_s = stale_after_s
        self._chunk_at = chunk_at
        self._active: dict[str, float] = {}
        """Since when, or when something else than a chunk came last."""
        self._keys: dict[str, str] = {}

    def asked(self, stream_id: str, now: float) -> list[str]:
        """A question goes out; returns every stream that overlaps now, if more than one."""
        for turn, seen in list(self._active.items()):
            if now - max(seen, self._chunk_at(turn) or seen) > self._stale_after_s:
                del self._active[turn]
        self._active[stream_id] = now
        return list(self._active) if len(self._active) > 1 else []

    def take_up(self, stream_id: str, bot_stream_key: str, now: float) -> None:
        """A question of a connection before this one; the bot called it so, if that is known."""
        self._active[stream_id] = now
        if bot_stream_key:
            self._keys[bot_stream_key] = stream_id

    def heard(self, stream_id: str, now: float) -> None:
        """The bot sent something of this stream; of chunks `chunk_at` knows."""
        if stream_id in self._active:
            self._active[stream_id] = now

    def ended(self, stream_id: str) -> None:
        """The bot said that it has ended this stream."""
        self._active.pop(stream_id, None)

    def resolve(self, bot_stream_key: str | None) -> str | None:
        """Say which stream a message without a stream id belongs to.

        The bot's own key is bound to the oldest question that has none; without a key the
        oldest question that is still open is meant.
        """
        if bot_stream_key is None:
            return next(iter(self._active), None)
        bound = self._keys.get(bot_stream_key)
        if bound is None:
            taken = set(self._keys.values())
            bound = next((turn for turn in self._active if turn not in taken), None)
            if bound is not None:
                if len(self._keys) >= KEYS_MAX:
                    del self._keys[next(iter(self._keys))]
                self._keys[bot_stream_key] = bound
        return bound
