"""Ends the background tasks of this package."""

from __future__ import annotations

import asyncio
from typing import TypeVar

_T = TypeVar("_T")

CANCEL_AGAIN_S = 0.05


async def end(task: asyncio.Task[_T] | None) -> None:
    """Cancel the task and wait until it is done, whatever it raises.

    Once is not enough: redis-py loses a cancellation that comes while it connects.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    if task is not None and not task.cancelled():
        task.exception()
