"""What the tasks of an event loop are at: of a task that should be gone, a count tells nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, CoroutineType, GeneratorType
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
    for code in _codes(task.get_coro()):
        if not name or code.co_filename.startswith(_OURS):
            name = code.co_qualname
    return name or type(task.get_coro()).__qualname__


def _codes(awaited: object) -> Iterator[CodeType]:
    """Yield whose frames wait for each other, from the outermost; see the `inspect` module."""
    while True:
        if isinstance(awaited, CoroutineType):
            yield awaited.cr_code
            awaited = awaited.cr_await
        elif isinstance(awaited, GeneratorType):
            yield awaited.gi_code
            awaited = awaited.gi_yieldfrom
        else:
            return
