"""The status line: what the bot is doing now, below the log.

It is drawn only on a terminal, and only when something happens: a line of the log, an answer that
begins or ends, a token. It stands between the log and stderr as the log's stream, so that the two
never write into each other. Where there is no terminal, nothing is left but the log's lines.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

REDRAW_S = 0.1
"""Tokens come faster than anybody reads."""
RATE_S = 3.0
"""The tokens per second are those of so many last seconds."""

_ERASE = "\r\x1b[K"


class StatusLine:
    """The last line of a terminal. `connected` is asked at each drawing.

    It is a text stream as far as `logging.StreamHandler` needs one.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        live: bool,
        connected: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._live = live
        self.connected = connected
        self._clock = clock
        self._answering = 0
        self._tokens: deque[tuple[float, int]] = deque()
        self._last = ""
        self._drawn_at = float("-inf")
        self._drawn = False

    # --- what the answers tell ----------------------------------------------------------

    def began(self) -> None:
        """An answer begins."""
        self._answering += 1
        self._draw()

    def wrote(self, tokens: int) -> None:
        """So many tokens of some answer are on their way."""
        now = self._clock()
        self._tokens.append((now, tokens))
        self._forget(now)
        if now - self._drawn_at >= REDRAW_S:
            self._draw()

    def ended(self, how: str) -> None:
        """An answer has ended; `how` is a few words."""
        self._answering -= 1
        self._last = how
        self._draw()

    # --- what the log writes ------------------------------------------------------------

    def write(self, text: str) -> int:
        """Write lines of the log above the status line."""
        self._erase()
        self._out.write(text)
        if text.endswith("\n"):
            self._draw()
        return len(text)

    def flush(self) -> None:
        """Flush what it writes to."""
        self._out.flush()

    def close(self) -> None:
        """Take the line away; lines of the log may still come."""
        self._erase()
        self._live = False
        self.flush()

    # --- drawing ------------------------------------------------------------------------

    def text(self) -> str:
        """Return the line."""
        now = self._clock()
        self._forget(now)
        rate = sum(tokens for _, tokens in self._tokens) / self._span(now)
        parts = [
            "connected" if self.connected() else "not connected",
            f"{self._answering} answering",
            f"{rate:.0f} tokens/s",
        ]
        if self._last:
            parts.append(f"last: {self._last}")
        return " | ".join(parts)

    def _span(self, now: float) -> float:
        """Return over how many seconds to count; a first burst is no rate yet."""
        began = self._tokens[0][0] if self._tokens else now
        return min(RATE_S, max(1.0, now - began))

    def _forget(self, now: float) -> None:
        while self._tokens and self._tokens[0][0] < now - RATE_S:
            self._tokens.popleft()

    def _draw(self) -> None:
        if not self._live:
            return
        # One column less: in the last one some terminals begin a new line.
        width = shutil.get_terminal_size().columns - 1
        self._out.write(_ERASE + self.text()[:width])
        self._out.flush()
        self._drawn = True
        self._drawn_at = self._clock()

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(_ERASE)
            self._drawn = False
