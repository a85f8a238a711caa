from __future__ import annotations

import asyncio
import signal
import sys
import threading

import pytest

from relay_sdk.errors import UsageError
from relay_sdk.portal import HANDLERS_MAX, Portal


@pytest.fixture
def portal() -> Portal:
    """A loop in a thread. Each test closes it."""
    return Portal("test")


async def forever(
    began: threading.Event | None = None, ended: threading.Event | None = None
) -> None:
    """Wait, and say when that begins and ends."""
    try:
        if began is not None:
            began.set()
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.set()


def test_a_call_returns_what_the_coroutine_returns(portal: Portal) -> None:
    """It runs on the other thread."""

    async def where() -> str:
        return threading.current_thread().name

    assert portal.call(where) == "test"
    portal.close()


def test_an_error_surfaces_in_the_caller(portal: Portal) -> None:
    """With its own type, and the portal lives on."""

    async def fail() -> None:
        raise ValueError("because")

    with pytest.raises(ValueError, match="because"):
        portal.call(fail)
    assert portal.call(lambda: asyncio.sleep(0, "alive")) == "alive"
    portal.close()


def test_closing_cancels_what_runs_and_wakes_who_waits(portal: Portal) -> None:
    """A thread that waits for an answer is not left waiting for ever."""
    began, ended = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def wait() -> None:
        try:
            portal.call(lambda: forever(began, ended))
        except UsageError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert began.wait(10)
    portal.close()
    thread.join(10)
    assert ended.is_set()
    assert "while it was waited for" in str(errors[0])
    portal.close()


def test_a_closed_portal_says_so(portal: Portal) -> None:
    """In place of waiting for a loop that does not run."""
    portal.close()
    with pytest.raises(UsageError, match="`with` block"):
        portal.call(forever)


def test_the_loop_does_not_wait_for_itself(portal: Portal) -> None:
    """An async handler that uses the sync face would hang the program."""

    async def mistake() -> None:
        portal.call(forever)

    with pytest.raises(UsageError, match="wait for itself"):
        portal.call(mistake)
    portal.close()


def test_an_interrupt_of_the_waiting_thread_cancels_the_coroutine(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C arrives while `result` waits."""
    began, ended = threading.Event(), threading.Event()

    def interrupted(*_: object) -> None:
        assert began.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(lambda: forever(began, ended))
    assert ended.wait(10)
    portal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="it sends no signal to a single thread")
def test_a_signal_that_came_to_another_thread_is_noticed(portal: Portal) -> None:
    """It does not wake the one that waits, and neither does one that comes just before the wait."""

    async def interrupt() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        await forever()

    with pytest.raises(KeyboardInterrupt):
        portal.call(interrupt)
    portal.close()


def test_a_timeout_of_the_coroutine_is_its_own(portal: Portal) -> None:
    """And not that of a thread that looks up."""

    async def too_slow() -> None:
        raise TimeoutError("too slow")

    with pytest.raises(TimeoutError, match="too slow"):
        portal.call(too_slow)
    portal.close()


def test_many_handlers_may_wait_at_once(portal: Portal) -> None:
    """Python's default is a handful of threads: a few slow models would block all others."""
    together = threading.Barrier(HANDLERS_MAX)

    async def all_at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(together.wait, 20) for _ in range(HANDLERS_MAX)))

    portal.call(all_at_once)
    portal.close()
