"""Work that nobody waits for."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from structlog.testing import capture_logs

from relay.errors import StoreError
from relay.node.background import Background

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


async def test_rest_waits_for_all_of_it() -> None:
    """Also for what is begun by what is waited for."""
    background, done = Background(), list[str]()

    async def first() -> None:
        await asyncio.sleep(0)
        background(second())
        done.append("first")

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    background(first())
    await background.rest()
    assert done == ["first", "second"]


async def test_what_fails_is_a_line_in_the_log() -> None:
    """Nobody waits for it, so nobody could be told."""
    background = Background()

    async def fail() -> None:
        raise StoreError("gone")

    with capture_logs() as logs:
        background(fail(), stream_id="s")
        await background.rest()
    told = {"event": "work_left_undone", "log_level": "warning", "stream_id": "s"}
    assert logs == [{**told, "reason": "StoreError"}]


async def test_a_bug_is_a_line_in_the_log_too() -> None:
    """With its traceback, and with whom it was about."""
    background = Background()

    async def fail() -> None:
        raise KeyError("bug")

    with capture_logs() as logs:
        background(fail(), bot_id=7)
        await background.rest()
    (line,) = logs
    assert (line["event"], line["bot_id"], line["exc_info"]) == ("work_failed", 7, True)


async def test_it_does_not_inherit_what_its_caller_bound() -> None:
    """A task of a session must not log the request that happened to start it."""
    background, seen = Background(), list[str]()

    async def look() -> None:
        seen.append(WHOSE.get())

    WHOSE.set("a request's")
    background(look())
    await background.rest()
    assert seen == ["nobody's"]


async def test_rest_waits_no_longer_than_it_is_told() -> None:
    """What waits for a broker that is away must not keep a relay from ending."""
    background, answer = Background(), asyncio.Event()

    async def wait() -> None:
        await answer.wait()

    background(wait())
    await background.rest(0.0)
    answer.set()
    await background.rest()
