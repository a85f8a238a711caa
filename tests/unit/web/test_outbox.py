"""What waits for a socket is written in order, bounded, and by one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.web import outbox as outbox_module
from relay.web.outbox import Outbox
from tests.unit.web.fakes import eventually


class Socket:
    """Takes frames, and blocks each write while it is `stalled`."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def send(self, frame: str) -> None:
        """Take one frame, once it flows."""
        await self.flowing.wait()
        self.frames.append(frame)


async def written(outbox: Outbox, send: Callable[[str], Awaitable[None]]) -> None:
    """Run the writer until everything queued is written and the outbox is closed."""
    outbox.close()
    await outbox.run(send)


async def test_frames_are_written_in_the_order_in_which_they_were_put() -> None:
    """First in, first out."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    for frame in "abc":
        outbox.put(frame)
    await written(outbox, socket.send)
    assert socket.frames == ["a", "b", "c"]


async def test_only_the_newest_frame_of_a_key_is_written() -> None:
    """What is cumulative is merged in the place of its first."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    outbox.put_latest("s1", lambda: ["s1 at 1"])
    outbox.put_latest("s2", lambda: ["s2 at 1"])
    outbox.put("x")
    outbox.put_latest("s1", lambda: ["s1 at 2"])
    await written(outbox, socket.send)
    assert socket.frames == ["s1 at 2", "s2 at 1", "x"]


async def test_what_is_made_when_it_is_written_keeps_its_place() -> None:
    """However many frames it becomes by then: none, one, more; beside a newest of a key."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    outbox.put("a")
    made = ["b"]
    outbox.put_late(lambda: made, 1)
    outbox.put("d")
    outbox.put_late(list, 1)
    outbox.put_latest("s1", lambda: ["old"])
    outbox.put("f")
    outbox.put_latest("s1", lambda: ["e"])
    made.append("c")
    await written(outbox, socket.send)
    assert socket.frames == ["a", "b", "c", "d", "e", "f"]
    assert outbox.pending_bytes == 0


def test_what_grows_beyond_the_limit_is_not_made_any_more() -> None:
    """It counts as what is queued does; and what grows of an outbox that is closing is nobody's."""
    outbox = Outbox(too_slow="slow", max_bytes=10)
    outbox.put_late(lambda: ["never"], 4)
    outbox.grow(6)
    before = outbox.closing
    outbox.grow(1)
    assert (before, outbox.closing) == (False, True)
    assert outbox.take()[0] == ["slow"]
    outbox.grow(1)
    assert outbox.take()[0] == []


async def test_what_can_wait_is_written_by_a_writer_that_does_nothing_else() -> None:
    """At once: `run` has no leisure."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    writer = asyncio.create_task(outbox.run(socket.send))
    outbox.put_late(lambda: ["a"], 1, can_wait=True)
    await outbox.drained()
    outbox.put_latest("s1", lambda: ["b"], can_wait=True)
    await outbox.drained()
    assert socket.frames == ["a", "b"]
    outbox.close()
    await writer


async def test_a_frame_of_a_key_that_was_written_is_followed_by_a_new_one() -> None:
    """Merging never reaches back into what was already handed to the socket."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    writer = asyncio.create_task(outbox.run(socket.send))
    outbox.put_latest("s1", lambda: ["at 1"])
    await outbox.drained()
    outbox.put_latest("s1", lambda: ["at 2"])
    await outbox.drained()
    assert socket.frames == ["at 1", "at 2"]
    outbox.close()
    await writer


async def test_the_farewell_is_the_last_frame_and_nothing_follows_it() -> None:
    """A closing outbox takes nothing more, and closing twice says goodbye once."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    outbox.put("a")
    outbox.close("bye")
    outbox.close("bye again")
    outbox.put("late")
    outbox.put_latest("s1", lambda: ["late"])
    assert await outbox.run(socket.send) is True
    assert socket.frames == ["a", "bye"]


async def test_a_socket_that_does_not_read_is_told_so_and_costs_no_more_than_the_limit() -> None:
    """Above the limit what is queued is dropped, and the farewell says too slow."""
    socket = Socket()
    outbox = Outbox(too_slow="slow", max_bytes=10)
    outbox.put("12345")
    outbox.put("67890")
    outbox.put("x")
    outbox.put("y")
    await outbox.run(socket.send)
    assert socket.frames == ["slow"]


async def test_a_socket_that_fills_the_limit_exactly_is_still_served() -> None:
    """The limit itself is allowed."""
    socket = Socket()
    outbox = Outbox(too_slow="slow", max_bytes=10)
    outbox.put("12345")
    outbox.put("67890")
    await written(outbox, socket.send)
    assert socket.frames == ["12345", "67890"]


async def test_a_frame_in_flight_counts_until_the_socket_has_taken_it() -> None:
    """A stalled write does not make room for another limit's worth of frames."""
    socket = Socket()
    socket.flowing.clear()
    outbox = Outbox(too_slow="slow", max_bytes=10)
    writer = asyncio.create_task(outbox.run(socket.send))
    outbox.put("1234567890")
    await asyncio.sleep(0)
    outbox.put("x")
    assert outbox.closing
    socket.flowing.set()
    await writer
    assert socket.frames == ["1234567890", "slow"]


async def test_what_is_queued_during_a_write_still_counts_after_it() -> None:
    """Only what was written is taken off the count."""
    gates = {frame: asyncio.Event() for frame in ("1", "23456789")}
    begun: list[str] = []

    async def send(frame: str) -> None:
        begun.append(frame)
        await gates[frame].wait()

    outbox = Outbox(too_slow="", max_bytes=10)
    writer = asyncio.create_task(outbox.run(send))
    outbox.put("1")
    await asyncio.sleep(0)
    outbox.put("23456789")
    gates["1"].set()
    await eventually(lambda: len(begun) == 2)
    assert outbox.pending_bytes == 8
    gates["23456789"].set()
    outbox.close()
    await writer
    assert outbox.pending_bytes == 0


async def test_the_last_frames_of_a_stalled_socket_have_a_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket that never reads does not keep its writer for ever."""
    monkeypatch.setattr(outbox_module, "CLOSE_TIMEOUT_S", 0.01)
    socket = Socket()
    socket.flowing.clear()
    outbox = Outbox(too_slow="slow")
    writer = asyncio.create_task(outbox.run(socket.send))
    outbox.put("a")
    await asyncio.sleep(0)
    outbox.close("bye")
    assert await writer is False
    assert socket.frames == []


async def test_an_abandoned_outbox_writes_nothing_more() -> None:
    """The socket is gone: the writer ends at once."""
    socket = Socket()
    outbox = Outbox(too_slow="slow")
    outbox.put("a")
    outbox.abandon()
    await outbox.run(socket.send)
    assert socket.frames == []


async def test_a_socket_that_breaks_ends_the_writer_and_whoever_waits_for_it() -> None:
    """A write that fails is no error of the writer: the reader of the socket notices it."""

    async def broken(_frame: str) -> None:
        raise ConnectionResetError

    outbox = Outbox(too_slow="slow")
    outbox.put("a")
    waiting = asyncio.create_task(outbox.drained())
    await asyncio.sleep(0)
    assert await outbox.run(broken) is False
    await waiting
    assert outbox.closing


async def test_who_waits_goes_on_once_what_was_queued_is_written() -> None:
    """`drained` waits for the frames before it and not for those behind it."""
    socket = Socket()
    socket.flowing.clear()
    outbox = Outbox(too_slow="slow")
    writer = asyncio.create_task(outbox.run(socket.send))
    outbox.put("a")
    waiting = asyncio.create_task(outbox.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    socket.flowing.set()
    await waiting
    assert socket.frames == ["a"]
    outbox.close()
    await writer
