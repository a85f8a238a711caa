"""A subscription as a response that is written when the log grows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import cast

import pytest

from relay.devices.base import StreamView
from relay.errors import BrokerUnavailable
from relay.node.subscriber import Reader
from relay.web.fast.framing import Framing
from relay.web.fast.live_response import Common, LiveResponse
from tests.unit.web.fakes import running_passes

COMMENT = b"(keep-alive)"
VIEW = StreamView("s1", "e", "c", "a", "en")


class FakeStream:
    """A `Stream` that notes what is written."""

    def __init__(self) -> None:
        self.is_full = False
        self.written: list[bytes] = []
        self.fills_at = 1_000_000
        self.user: LiveResponse | None = None
        self.finished: list[bytes] = []
        self.cuts = 0
        self.out = self

    def write(self, framed: bytes) -> None:
        """Note it, and fill up."""
        self.written.append(framed)
        if sum(map(len, self.written)) >= self.fills_at:
            self.is_full = True
            assert self.user is not None
            self.user.must_wait()

    def finish(self, last: bytes) -> None:
        """Note it."""
        self.finished.append(last)

    def cut(self) -> None:
        """Note it."""
        self.cuts += 1


class FakeLog:
    """A `Subscription`: what is put in is what the next poll finds."""

    def __init__(self) -> None:
        self.reader = cast("Reader", None)
        self.polls: list[bytes | Exception | Awaitable[bytes | None]] = []
        self.polled = 0
        self.found = 0
        """How many polls found something."""
        self.delivered_up_to: list[int] = []
        """How many had when something was delivered."""
        self.ends = self.finished = False
        self.closed = 0
        self.view = VIEW

    def close(self) -> None:
        """Note it."""
        self.closed += 1

    def tell(self, reader: Reader) -> None:
        """Keep it."""
        self.reader = reader

    def poll(self) -> Awaitable[bytes | None] | bytes | None:
        """The next."""
        self.polled += 1
        if not self.polls:
            return None
        self.found += 1
        found = self.polls.pop(0)
        self.finished = self.ends and not self.polls
        if isinstance(found, Exception):
            raise found
        return found

    def delivered(self) -> None:
        """Note it."""
        self.delivered_up_to.append(self.found)

    def grow(
        self, *polls: bytes | Exception | Awaitable[bytes | None], ended: bool = False
    ) -> None:
        """There is news; the last of it is the end where it `ended`."""
        self.polls += polls
        self.ends = ended
        self.reader.news()


class Stage:
    """A response that was just begun."""

    def __init__(
        self, lead: bytes = b"", send_timeout_s: float = 0.01, max_age_s: float = 60.0
    ) -> None:
        self.log, self.stream = FakeLog(), FakeStream()
        self.ended = asyncio.Event()
        self.closed: list[LiveResponse] = []
        passes = running_passes()
        self.common = Common(passes, Framing(), send_timeout_s, max_age_s, self._closed)
        self.live = LiveResponse(
            self.log,
            self.stream,
            self.common,
            lead=lead,
            failure=lambda error: type(error).__name__.encode(),
        )
        self.stream.user = self.live
        self.live.begin()

    def _closed(self, live: LiveResponse) -> None:
        self.closed.append(live)
        self.ended.set()

    def ended_once(self) -> tuple[list[bytes], int]:
        """Return the last words and the cuts of a response that has ended, and that only once."""
        assert (self.closed, self.log.closed) == ([self.live], 1)
        return self.stream.finished, self.stream.cuts

    @property
    def body(self) -> bytes:
        """What was written, unframed where it is one chunk each."""
        return b"".join(
            one.split(b"\r\n")[1] if b"\r\n" in one else one for one in self.stream.written
        )


async def turn() -> None:
    """Let the loop pass a few times."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_what_is_there_is_written_without_any_news() -> None:
    """A device that comes back."""
    stage = Stage()
    stage.log.polls.append(b"a")
    await turn()
    assert stage.stream.written == [b"1\r\na\r\n"]
    stage.live.lost()


async def test_news_of_one_pass_is_one_write() -> None:
    """However often the log grew."""
    stage = Stage()
    await turn()
    polled = stage.log.polled
    for _ in range(3):
        stage.log.reader.news()
    stage.log.polls.append(b"abc")
    await turn()
    assert (stage.body, stage.log.polled - polled) == (b"abc", 1)
    assert stage.log.delivered_up_to == [1]
    stage.live.lost()


async def test_a_batch_that_nothing_is_shown_of_is_delivered_and_not_written() -> None:
    """An empty chunk would end the response."""
    stage = Stage()
    stage.log.grow(b"")
    await turn()
    assert (stage.stream.written, stage.log.delivered_up_to) == ([], [1])
    stage.live.lost()


async def test_the_lead_stands_before_the_first_event_only() -> None:
    """Also where the first batch shows nothing."""
    stage = Stage(lead=b"retry|")
    stage.log.grow(b"")
    await turn()
    stage.log.grow(b"a")
    await turn()
    stage.log.grow(b"b")
    await turn()
    assert stage.body == b"retry|ab"
    stage.live.lost()


async def test_a_slow_reader_is_written_nothing_until_it_has_caught_up() -> None:
    """Then all at once: what waits is in the log and not in memory."""
    stage = Stage(send_timeout_s=30.0)
    stage.stream.fills_at = 1
    stage.log.grow(b"a")
    await turn()
    polled = stage.log.polled
    stage.log.grow(b"bc")
    await turn()
    assert (stage.body, stage.log.polled) == (b"a", polled)
    stage.stream.is_full, stage.stream.fills_at = False, 1_000_000
    stage.live.may_write()
    await turn()
    assert stage.body == b"abc"
    stage.live.lost()


async def test_a_reader_that_takes_nothing_for_too_long_is_let_go() -> None:
    """`TimeoutError`, so many seconds after the socket was full."""
    stage = Stage()
    stage.stream.fills_at = 1
    stage.log.grow(b"a")
    await stage.ended.wait()
    assert stage.ended_once() == ([], 1)


async def test_a_reader_that_takes_something_in_time_is_not_let_go() -> None:
    """The next time counts anew."""
    stage = Stage(send_timeout_s=0.05)
    loop = asyncio.get_running_loop()
    stage.live.must_wait()
    stage.live.may_write()
    began = loop.time()
    await asyncio.sleep(0.03)
    stage.live.must_wait()
    await stage.ended.wait()
    assert stage.ended_once() == ([], 1)
    assert loop.time() - began >= 0.079


async def test_news_during_a_fetch_is_not_missed() -> None:
    """One read at a time; the next one behind it, without further news."""
    stage = Stage()
    fetched: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    stage.log.grow(fetched)
    await turn()
    polled = stage.log.polled
    stage.log.grow(b"b")
    await turn()
    assert stage.log.polled == polled
    fetched.set_result(b"a")
    await turn()
    await turn()
    assert stage.body == b"ab"
    stage.live.lost()


async def test_a_fetch_that_finds_nothing_ends_without_another() -> None:
    """Else it would ask without end."""
    stage = Stage()
    await turn()
    fetched: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    stage.log.grow(fetched)
    await turn()
    polled = stage.log.polled
    fetched.set_result(None)
    await turn()
    assert stage.log.polled == polled
    stage.live.lost()


@pytest.mark.parametrize(
    ("error", "ended"),
    [(BrokerUnavailable("away"), ([b"BrokerUnavailable"], 0)), (RuntimeError("a bug"), ([], 1))],
)
@pytest.mark.parametrize("later", [False, True])
async def test_an_error_of_the_log_ends_the_response(
    error: Exception, ended: tuple[list[bytes], int], *, later: bool
) -> None:
    """With words for the device, or in the middle where it is a bug; at once, or when fetched."""
    stage = Stage()
    if later:
        fetched: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        fetched.set_exception(error)
        stage.log.grow(fetched)
    else:
        stage.log.grow(error)
    await stage.ended.wait()
    assert stage.ended_once() == ended
    stage.log.grow(b"a")
    await turn()
    assert stage.body == b""


async def test_the_end_of_the_stream_ends_the_response() -> None:
    """With all of it written, and the device still there."""
    stage = Stage()
    stage.log.grow(b"a", b"b", ended=True)
    await turn()
    stage.log.reader.news()
    await turn()
    assert stage.ended_once() == ([b""], 0)
    assert (stage.body, stage.log.delivered_up_to) == (b"ab", [1, 2])


async def test_a_device_that_is_gone_ends_the_response() -> None:
    """Nothing more is written, and nothing counts as delivered."""
    stage = Stage()
    await turn()
    stage.live.lost()
    stage.live.lost()
    stage.log.grow(b"a")
    await turn()
    assert stage.ended_once() == ([], 0)
    assert (stage.body, stage.log.delivered_up_to) == (b"", [])
    stage.live.lost()


async def test_a_response_that_is_let_go_leaves_nothing_behind() -> None:
    """What is under way is cancelled, its timer too, and the socket is cut, once."""
    stage = Stage()
    fetched: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    stage.log.grow(fetched)
    await turn()
    stage.live.must_wait()
    stage.live.let_go()
    stage.live.let_go()
    await turn()
    assert fetched.cancelled()
    await asyncio.sleep(0.02)
    stage.log.grow(b"a")
    stage.live.keep_alive(COMMENT)
    stage.live.keep_alive(COMMENT)
    await turn()
    assert stage.body == b""
    assert stage.ended_once() == ([], 1)


async def test_a_fetch_that_ends_before_it_begins_is_awaited_all_the_same() -> None:
    """Python warns of what never is, and that costs memory for good."""
    stage, begun = Stage(), asyncio.Event()

    async def fetch() -> None:
        begun.set()
        await asyncio.Event().wait()

    stage.log.grow(fetch())
    asyncio.get_running_loop().call_soon(stage.live.lost)  # in the pass that makes the task
    await turn()
    assert begun.is_set()


async def test_a_full_socket_has_its_time_for_the_end_too() -> None:
    """The body is ended once all of it is passed on; until then it is a slow reader's."""
    stage = Stage(send_timeout_s=30.0)
    stage.stream.fills_at = 1
    stage.log.grow(b"a", ended=True)
    await turn()
    assert (stage.stream.finished, stage.closed) == ([], [])
    stage.log.reader.news()
    await turn()
    stage.stream.is_full = False
    stage.live.may_write()
    assert stage.ended_once() == ([b""], 0)


async def test_a_response_has_an_age_at_which_it_is_let_go() -> None:
    """Asked when it is to be kept alive: a half-open device must not stay for ever."""
    stage = Stage(max_age_s=0.0)
    await turn()
    stage.live.keep_alive(COMMENT)
    assert stage.ended_once() == ([], 1)


async def test_a_comment_is_written_only_where_nothing_was_written_since_it_was_asked_last() -> (
    None
):
    """Asked twice in its time: so once in its time at most, and at least."""
    stage = Stage()
    asked = []
    for round_ in range(6):
        if round_ == 1:
            stage.log.grow(b"a")
            await turn()
        before = len(stage.stream.written)
        stage.live.keep_alive(COMMENT)
        asked.append(len(stage.stream.written) - before)
    assert asked == [0, 0, 1, 0, 1, 0]
    stage.live.lost()


async def test_a_full_socket_is_given_no_comment() -> None:
    """It has enough to read."""
    stage = Stage(send_timeout_s=30.0)
    stage.stream.is_full = True
    for _ in range(4):
        stage.live.keep_alive(COMMENT)
    assert stage.stream.written == []
    stage.stream.is_full = False
    stage.live.keep_alive(COMMENT)
    assert stage.stream.written == [COMMENT]
    stage.live.lost()
