"""An event loop in a thread of its own, for programs that are not async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

from relay_sdk.errors import UsageError

_T = TypeVar("_T")

HANDLERS_MAX = 64
"""Sync handlers that may run at once; each waits for its model in a thread. Python's own default
is six on a machine of two cores."""

LOOK_UP_S = 1.0
"""How often a thread that waits looks up. Python acts on a signal between two of its instructions,
so one that came just before the wait, or to another thread, would be left for as long as it is."""


class Portal:
    """Runs coroutines on its loop, from any other thread.

    The thread is a daemon: a program that forgets to close still ends.
    """

    def __init__(self, name: str = "relay-sdk") -> None:
        self._lock = threading.Lock()
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(
            ThreadPoolExecutor(HANDLERS_MAX, thread_name_prefix=f"{name}-handler")
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Coroutine[object, object, _T]]) -> _T:
        """Run a coroutine to its end and return what it returns, or raise what it raises.

        An exception that comes to the waiting thread itself, for example Ctrl-C, cancels the
        coroutine. Raises `UsageError` after `close`, and where the loop's own thread would wait for
        itself.
        """
        if threading.current_thread() is self._thread:
            raise UsageError(
                "an async function has to use the async SDK: this would wait for itself"
            )
        with self._lock:
            if self._closing:
                raise UsageError("this is closed: use it within its `with` block")
            future: Future[_T] = asyncio.run_coroutine_threadsafe(function(), self._loop)
        try:
            return _result(future)
        except CancelledError:
            raise UsageError("this was closed while it was waited for") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs, stop the loop and wait for its thread. Idempotent.

        Handlers in threads cannot be cancelled; they are waited for no longer than Python itself
        does when the program ends.
        """
        with self._lock:
            if not self._closing:
                self._closing = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            # What was called just before becomes a task, and can be cancelled.
            loop.run_until_complete(asyncio.sleep(0))
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _result(future: Future[_T]) -> _T:
    while True:
        try:
            return future.result(LOOK_UP_S)
        except TimeoutError:
            if future.done():  # so it is what the coroutine raised, or it was done just then
                return future.result()
