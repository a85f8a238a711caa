"""The ports' one helper; the ports themselves are tested by tests/contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from relay.broker.base import settle


async def test_a_result_that_is_there_is_not_awaited() -> None:
    """The memory broker costs no turn of the event loop."""
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "loop")
    assert await settle(7) == 7
    assert await settle(()) == ()
    assert turns == []


async def test_a_result_that_comes_later_is_awaited() -> None:
    """A coroutine, and a future, alike."""

    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(8)
    results: list[Awaitable[int] | int] = [later(), future]
    assert [await settle(result) for result in results] == [7, 8]
