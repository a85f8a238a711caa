"""Work that nobody waits for, and that is waited for in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import Context
from typing import Protocol

import structlog

from relay.errors import RelayError


class Undertake(Protocol):
    """Has work done that nobody waits for."""

    def __call__(self, work: Awaitable[None], **names: str | int | None) -> None:
        """Let this run by itself; `names` say in the log whom it is about."""
        ...


class Background:
    """The tasks of a node. One that fails is logged, and what it had to do is left undone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._logger = structlog.get_logger("relay.node")

    def __call__(self, work: Awaitable[None], **names: str | int | None) -> None:
        """See `Undertake`."""

        async def run() -> None:
            try:
                await work
            except RelayError as error:
                self._logger.warning("work_left_undone", **names, reason=type(error).__name__)
            except Exception:
                # A bug of ours. Unseen it would be told when its task is collected, and by no name.
                self._logger.exception("work_failed", **names)

        # A context of its own: what the caller bound to its log lines is not about this work.
        task = asyncio.get_running_loop().create_task(run(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def rest(self, within_s: float | None = None) -> None:
        """Wait until nothing runs any more, or for `within_s`. What runs on is not stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
