"""What the tasks of an event loop are at: of a task that should be gone, a count tells nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import CoroutineType
from typing import Final

_OURS: Final = f"{Path(__file__).parent}/"


def tasks_by_work() -> Counter[str]:
    """Return how many tasks of the running loop are not done, by what they are at.

    That is the innermost of the relay's own coroutines that waits: `Tracer._run`. Where none does,
    it is the task's own coroutine: `Server.serve`. The names are those in the code, so there are
    few, and none tells who is served. Raises `RuntimeError` where no loop runs.
    """
    return Counter(map(_work_of, asyncio.all_tasks()))


def _work_of(task: asyncio.Task[object]) -> str:
    name = ""
    awaited: object = task.get_coro()
    # From the outermost inwards; what is no coroutine is waited for in the last one.
    while isinstance(awaited, CoroutineType):
        code = awaited.cr_code
        if not name or code.co_filename.startswith(_OURS):
            name = code.co_qualname
        awaited = awaited.cr_await
    return name or type(awaited).__qualname__
