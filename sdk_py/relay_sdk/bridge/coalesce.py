"""A burst of tokens becomes one chunk, and no token waits for a timer.

A model writes token by token, but a socket brings many at once. Sending each as a chunk of its own
would cost a frame, an acknowledgement and an event each. So one task reads, and the other sends
whatever has been read by the time that it gets its turn: the first token at once, and while the
relay has no credit, everything that has gathered meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

CHARS_MAX = 16_384
"""How much is read ahead of what is sent, in characters; then the model has to wait, too."""


async def coalesce(
    texts: AsyncGenerator[str, None], *, chars_max: int = CHARS_MAX
) -> AsyncGenerator[str, None]:
    """Yield the same text in as few pieces as it takes without waiting.

    Raises what `texts` raises, after the text before it. Closing it closes `texts`.
    """
    gathered = _Gathered(chars_max)
    reading = asyncio.create_task(gathered.read(texts), name="coalesce")
    try:
        while (text := await gathered.take()) is not None:
            yield text
        await reading
    finally:
        reading.cancel()
        # Not `await reading`: that would swallow a cancellation of ours, or raise a second time.
        await asyncio.wait({reading})


class _Gathered:
    """What was read and not sent yet."""

    def __init__(self, chars_max: int) -> None:
        self._chars_max = chars_max
        self._texts: list[str] = []
        self._chars = 0
        self._finished = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    async def read(self, texts: AsyncGenerator[str, None]) -> None:
        try:
            async with aclosing(texts):
                async for text in texts:
                    self._texts.append(text)
                    self._chars += len(text)
                    self._filled.set()
                    while self._chars >= self._chars_max:
                        self._emptied.clear()
                        await self._emptied.wait()
        finally:
            self._finished = True
            self._filled.set()

    async def take(self) -> str | None:
        """Wait for text and return all of it; None once there will be no more."""
        while not self._texts and not self._finished:
            self._filled.clear()
            await self._filled.wait()
        text = "".join(self._texts)
        self._texts.clear()
        self._chars = 0
        self._emptied.set()
        return text or None
