from __future__ import annotations

import asyncio
from contextlib import suppress

from relay.broker.redis.tasks import end


async def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    """As redis-py does while it connects."""
    begun = asyncio.Event()

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await begun.wait()
    await end(task)
    assert task.cancelled()


async def test_what_a_task_raised_is_nobodys_concern_any_more() -> None:
    """Nor is a task that was never begun."""

    async def failing() -> None:
        raise ValueError

    task = asyncio.create_task(failing())
    await end(task)
    assert task.done()
    await end(None)
