"""The end barrier: how long `stream_end` is held, and for how many chunks.

n, the number of chunks, is known where the bot states it (`total_chunks`) or its summary
does; else it is a guess: the highest sequence seen, plus one. A guess may hide a lost tail,
so even a stream without a gap waits a little for a summary behind its end.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.protocol.limits import Limits


@dataclass(slots=True)
class EndBarrier:
    """What is known about the end of one stream."""

    ended_at: float | None = None
    """When the first `stream_end` arrived; None before."""
    stated: int | None = None
    """n as the end stated it."""
    content_hash: str | None = None
    """The hash of the whole text as the end stated it."""
    summarised: int | None = None
    """n as a summary stated it that agrees with what arrived."""
    claimed: int | None = None
    """n as a summary stated it that does not agree. It may raise a guess, and proves nothing."""

    @property
    def known(self) -> int | None:
        """n, where it is more than a guess."""
        return self.stated if self.stated is not None else self.summarised

    def total(self, highest: int) -> int:
        """Return n; never less than what was seen."""
        stated = self.known if self.known is not None else self.claimed
        return max(stated or 0, highest + 1)

    def deadline(
        self, limits: Limits, *, whole: bool, broken: bool, last_chunk_at: float | None
    ) -> float:
        """Return when the hold ends at the latest. Only to be asked once `ended_at` is set.

        `whole`: no gap below n. `broken`: the bot's connection broke during the stream, so
        the guess may well be wrong and the full time is waited.
        """
        assert self.ended_at is not None
        full = self.ended_at + limits.barrier_s
        if not whole or self.known is not None or broken:
            return full
        return min(full, max(self.ended_at, last_chunk_at or 0.0) + limits.guess_s)
