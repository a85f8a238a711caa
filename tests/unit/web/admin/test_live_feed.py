"""Open streams as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Scope

from relay.errors import StoreError
from relay.web.admin.live_feed import LiveFeed, differences, encode
from relay.web.admin.problems import Busy
from tests.support.admin import FakeLive, live_stream
from tests.unit.web.fakes import eventually

TICK_S = 0.005

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}


def events(data: bytes) -> list[tuple[str, object]]:
    """The events of some bytes."""
    found = []
    for block in data.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def admitted() -> bool:
    """Whoever watches may."""
    return True


async def next_events(body: AsyncIterator[bytes]) -> list[tuple[str, object]]:
    """The events of the next write."""
    return events(await asyncio.wait_for(anext(body), 5))


def names(found: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """Each event with the id of its stream."""
    return [(name, value["stream_id"]) for name, value in found if isinstance(value, dict)]


async def test_a_watcher_is_told_what_there_is_and_then_what_changes() -> None:
    """Opened, changed and closed streams, each once; growing older is no change."""
    live = FakeLive([live_stream(1)], {7})
    body = LiveFeed(live, interval_s=TICK_S).body(admitted)
    ((name, snapshot),) = await next_events(body)
    assert name == "snapshot"
    assert isinstance(snapshot, dict)
    assert [stream["stream_id"] for stream in snapshot["streams"]] == ["live-0001"]
    assert (snapshot["total"], snapshot["online_bots"]) == (1, [7])
    live.streams = [live_stream(1, age_s=9.0), live_stream(2)]
    assert names(await next_events(body)) == [("opened", "live-0002")]
    live.streams = [live_stream(2, received=5)]
    assert names(await next_events(body)) == [("closed", "live-0001"), ("changed", "live-0002")]


async def test_watchers_of_one_moment_share_one_look() -> None:
    """However many watch, the node is asked once."""
    looks = 0

    class Counting(FakeLive):
        def live_streams(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            nonlocal looks
            looks += 1
            return super().live_streams()

    feed = LiveFeed(Counting([live_stream(1)]), interval_s=60)
    for _ in range(3):
        await next_events(feed.body(admitted))
    assert looks == 1


async def test_the_end_of_the_relay_ends_the_feed() -> None:
    """At once, and nobody begins to watch any more."""
    feed = LiveFeed(FakeLive(), interval_s=60)
    body = feed.body(admitted)
    await next_events(body)
    ending = asyncio.create_task(anext(body, None))
    await asyncio.sleep(0)
    feed.end_all()
    assert await asyncio.wait_for(ending, 5) is None
    with pytest.raises(Busy):
        feed.watch(admitted)


async def test_who_may_not_watch_any_more_is_told_nothing_more() -> None:
    """The token was revoked; a database that is away ends nothing."""
    answers: list[bool | Exception] = [True, StoreError("away"), False]

    async def still() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    body = LiveFeed(FakeLive(), interval_s=TICK_S, recheck_s=0.0).body(still)
    await next_events(body)
    assert await asyncio.wait_for(anext(body, None), 5) is None
    assert answers == []


async def test_a_watcher_that_leaves_does_not_break_the_question_whether_it_may_watch() -> None:
    """The response is over at once. The database's driver would be left half closed, else."""
    asked, answer = asyncio.Event(), asyncio.Event()
    answered: list[BaseException | None] = []

    async def still() -> bool:
        asked.set()
        try:
            await answer.wait()
        except BaseException as error:
            answered.append(error)
            raise
        answered.append(None)
        return True

    async def receive() -> Message:
        await asked.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    feed = LiveFeed(FakeLive(), interval_s=TICK_S, recheck_s=0.0)
    await asyncio.wait_for(feed.watch(still)(SCOPE, receive, send), 5)
    assert (feed.watching, answered) == (0, [])
    answer.set()
    await eventually(lambda: answered == [None])


async def test_there_are_only_so_many_watchers() -> None:
    """A place is free again once its watcher has left, even where it never read a byte."""
    feed = LiveFeed(FakeLive(), interval_s=TICK_S, watchers_max=1)
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        await asyncio.sleep(0)

    watching = asyncio.create_task(feed.watch(admitted)(SCOPE, receive, send))
    await eventually(lambda: feed.watching == 1)
    with pytest.raises(Busy):
        feed.watch(admitted)
    gone.set()
    await asyncio.wait_for(watching, 5)
    assert feed.watching == 0


def test_an_event_is_ascii_on_one_line() -> None:
    """What a user's platform calls itself can start no line of its own."""
    assert encode("opened", {"user_id": "a\n\u2028b"}) == (
        b'event: opened\ndata: {"user_id":"a\\n\\u2028b"}\n\n'
    )


def test_nothing_that_changed_is_nothing_to_tell() -> None:
    """The same streams, a second older."""
    old, new = {"a": live_stream(1)}, {"a": live_stream(1, age_s=2.5)}
    assert list(differences(old, new)) == []
