"""What tasks are told to be at."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from relay.node.background import Background
from relay.tasks import tasks_by_work


async def more_than(before: dict[str, int], *works: Coroutine[None, None, object]) -> list[str]:
    """Return what is told of tasks for these, which wait for something."""
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(0)
    told = tasks_by_work()
    told.subtract(before)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return sorted(told.elements())


async def test_a_task_is_told_by_the_innermost_coroutine_of_the_relay() -> None:
    """Not by what begins in a library, nor by what the relay waits for in one."""
    background = Background()

    async def work() -> None:
        await asyncio.Event().wait()

    background(work(), stream_id="s")

    async def of_somebody_else() -> None:
        await background.rest()

    told = await more_than(tasks_by_work(), of_somebody_else())
    assert told == ["Background.rest"]
    assert tasks_by_work()["Background.__call__.<locals>.run"] == 1


async def test_a_task_that_nothing_of_the_relay_runs_in_is_told_by_where_it_began() -> None:
    """As the server's own is; each is counted."""
    never = asyncio.Event()

    async def of_somebody_else() -> None:
        await never.wait()

    told = await more_than(tasks_by_work(), of_somebody_else(), never.wait(), never.wait())
    assert told == ["Event.wait", "Event.wait", f"{of_somebody_else.__qualname__}"]


async def test_a_task_that_is_done_is_not_told() -> None:
    """It is gone from the count with its last step."""
    before = tasks_by_work()
    await asyncio.create_task(asyncio.sleep(0))
    assert tasks_by_work() == before


def test_without_a_loop_there_is_nothing_to_tell() -> None:
    """It is asked for by whoever is on the loop."""
    with pytest.raises(RuntimeError):
        tasks_by_work()
