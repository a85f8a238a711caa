"""One socket of `/cable`: when it is read, what is written, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import pytest
from structlog.testing import capture_logs

from relay.web import cable_socket as module
from relay.web.cable_socket import CableSocket, SocketActor, serve_socket
from relay.web.fast.passes import MANY
from relay.web.fast.websocket import Socket, SocketUser
from relay.web.intake import WAITING_FRAMES_MAX
from relay.web.outbox import ANSWERS_MAX_BYTES, Outbox
from tests.unit.web.fakes import eventually, running_passes


class FakeSocket:
    """A `Socket` that notes what is done to it."""

    def __init__(self) -> None:
        self.is_full = False
        self.fills_at: int | None = None
        """After so many bytes it is full."""
        self.user: SocketUser | None = None
        self.done: list[str] = []
        self.reading = True
        self.out = self

    def claim(self, user: SocketUser) -> None:
        """Note it."""
        self.user = user

    def write(self, data: bytes) -> None:
        """Note the texts, which are short."""
        texts = []
        while data:
            texts.append(data[2 : 2 + data[1]].decode())
            data = data[2 + data[1] :]
        self.done.append("|".join(texts))
        if self.fills_at is not None and sum(map(len, texts)) >= self.fills_at:
            self.is_full = True

    def close(self) -> None:
        """Note it; the real one says at once that it is gone for its user."""
        self.done.append("close")
        assert self.user is not None
        self.user.lost()

    def abort(self) -> None:
        """Note it; the loop says that it is gone."""
        self.done.append("abort")
        assert self.user is not None
        asyncio.get_running_loop().call_soon(self.user.lost)

    def pause_reading(self) -> None:
        """Note it."""
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        """Note it."""
        assert not self.reading
        self.reading = True


class FakeConnection:
    """Answers as it is told."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.pause_s = 0.0
        self.charged: list[tuple[int, int]] = []
        self.received: list[str] = []
        self.answer = ""
        self.gate: asyncio.Event | None = None

    def charge(self, size: int, frames: int = 1) -> float:
        """Note it."""
        self.charged.append((size, frames))
        return self.pause_s

    async def receive(self, raw: str) -> None:
        """Answer, once it may."""
        if self.gate is not None:
            await self.gate.wait()
        self.received.append(raw)
        if self.answer:
            self.outbox.put(self.answer)

    def refuse_binary(self) -> None:
        """Answer."""
        self.outbox.put("no binary")


class Stage:
    """A socket, served."""

    def __init__(self) -> None:
        self.socket = FakeSocket()
        self.outbox = Outbox(too_slow="too slow", max_bytes=2 * ANSWERS_MAX_BYTES)
        self.connection = FakeConnection(self.outbox)
        self.passes = running_passes()
        self.user = CableSocket(
            cast("Socket", self.socket),
            cast("SocketActor", self.connection),
            self.outbox,
            {"bot_id": 1},
            self.passes,
        )

    @property
    def done(self) -> list[str]:
        """What was done to the socket."""
        return self.socket.done

    def fill(self) -> None:
        """The peer reads nothing."""
        self.socket.is_full = True

    def empty(self) -> None:
        """The peer has read it all."""
        self.socket.is_full = False
        self.user.may_write()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A socket that was just claimed."""
    stage = Stage()
    await turn()
    yield stage
    await stage.user.close()
    await turn()


async def turn() -> None:
    """Let the loop pass a few times."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_what_was_queued_before_the_socket_was_claimed_is_written(stage: Stage) -> None:
    """The welcome."""
    one = Stage()
    one.outbox.put("welcome")
    await turn()
    assert one.done == ["welcome"]
    assert one.socket.user is one.user
    assert stage.done == []


async def test_all_that_gathers_in_a_pass_is_one_write(stage: Stage) -> None:
    """Of one socket."""
    stage.outbox.put("a")
    stage.outbox.put_latest("k", lambda: ["old"])
    stage.outbox.put_latest("k", lambda: ["b"])
    assert stage.done == []
    await turn()
    assert stage.done == ["a|b"]
    assert stage.outbox.pending_bytes == 0


async def test_of_a_long_pass_it_is_written_behind_a_read(stage: Stage) -> None:
    """Once many wait: it does not wait for all the sockets that are still to be read."""
    written = list[int]()
    for number in range(MANY - 1):
        stage.passes.soon(partial(written.append, number))
    stage.user.received([], 0)
    assert written == []
    stage.outbox.put("a")
    stage.user.received([], 0)
    assert (len(written), stage.done) == (MANY - 1, ["a"])


async def test_what_can_wait_is_written_with_what_cannot(stage: Stage) -> None:
    """One write for both. Left alone it is written while the relay has little else to do."""
    stage.outbox.put_late(lambda: ["a"], 1, can_wait=True)
    stage.outbox.put_latest("k", lambda: ["b"], can_wait=True)
    await turn()
    stage.outbox.put_late(lambda: ["c"], 1, can_wait=True)
    await turn()
    assert stage.done == ["a|b", "c"]
    for _ in range(MANY):
        stage.passes.soon(lambda: None)
    stage.outbox.put_late(lambda: ["d"], 1, can_wait=True)
    await asyncio.sleep(0)
    assert stage.done == ["a|b", "c"]
    stage.outbox.put("e")
    stage.outbox.put_late(lambda: ["f"], 1, can_wait=True)
    await turn()
    assert stage.done == ["a|b", "c", "d|e|f"]
    stage.outbox.put_late(lambda: ["g"], 1, can_wait=True)
    stage.outbox.close("bye")
    await turn()
    assert stage.done[3:] == ["g|bye", "close"]


async def test_frames_are_paid_for_with_their_bytes_and_acted_on(stage: Stage) -> None:
    """Once for all that came together."""
    stage.user.received(["1", "2"], 77)
    await eventually(lambda: stage.connection.received == ["1", "2"])
    assert stage.connection.charged == [(77, 2)]
    stage.user.received_binary(9)
    await turn()
    assert stage.connection.charged[1:] == [(9, 1)]
    assert stage.done == ["no binary"]


async def test_who_is_above_its_rate_is_not_read_for_so_long(stage: Stage) -> None:
    """What was read is acted on all the same. A second debt in the same turn counts as well."""
    stage.connection.pause_s = 0.01
    stage.user.received(["1"], 5)
    stage.connection.pause_s = 0.05
    began = asyncio.get_running_loop().time()
    stage.user.received(["2"], 5)
    assert not stage.socket.reading
    await eventually(lambda: stage.socket.reading)
    assert asyncio.get_running_loop().time() - began >= 0.049
    assert stage.connection.received == ["1", "2"]


async def test_a_socket_is_read_again_only_once_no_reason_is_left(stage: Stage) -> None:
    """It waits for its frames, for its rate and for its answers, each by itself."""
    stage.connection.gate, stage.connection.pause_s = asyncio.Event(), 0.02
    stage.fill()
    stage.outbox.put("x" * (ANSWERS_MAX_BYTES + 1))
    stage.user.received(["f"] * (WAITING_FRAMES_MAX + 1), 5)
    assert not stage.socket.reading
    await asyncio.sleep(0.03)
    assert not stage.socket.reading
    stage.empty()
    await turn()
    assert not stage.socket.reading
    stage.connection.gate.set()
    await eventually(lambda: stage.socket.reading)
    assert len(stage.connection.received) == WAITING_FRAMES_MAX + 1


async def test_a_full_socket_keeps_its_frames_in_the_outbox(stage: Stage) -> None:
    """Bounded there, and the newest of what is cumulative still replaces the older."""
    stage.fill()
    stage.outbox.put("a")
    stage.outbox.put_latest("k", lambda: ["old"])
    await turn()
    stage.outbox.put_latest("k", lambda: ["new"])
    await turn()
    assert stage.done == []
    stage.empty()
    await turn()
    assert stage.done == ["a|new"]


async def test_what_a_full_socket_has_not_passed_on_is_still_pending(stage: Stage) -> None:
    """Else a peer that reads nothing could have twice what the outbox may hold."""
    stage.socket.fills_at = 10
    stage.outbox.put("x" * 10)
    await turn()
    assert stage.outbox.pending_bytes == 10
    drained = asyncio.create_task(stage.outbox.drained())
    await turn()
    assert not drained.done()
    stage.empty()
    await drained
    assert stage.outbox.pending_bytes == 0


async def test_a_peer_that_reads_nothing_is_told_so_and_let_go(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outbox is bounded; it is abandoned where it does not even read the farewell."""
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.01)
    stage.fill()
    for _ in range(3):
        stage.outbox.put("x" * ANSWERS_MAX_BYTES)
    assert stage.outbox.closing
    with capture_logs() as logs:
        await eventually(lambda: stage.done == ["abort"])
    assert [(line["event"], line["bot_id"]) for line in logs] == [("socket_abandoned", 1)]
    await stage.user.gone


async def test_a_peer_that_reads_again_in_time_gets_its_farewell(stage: Stage) -> None:
    """Then it is not abandoned."""
    stage.fill()
    stage.outbox.put("a")
    stage.outbox.close("bye")
    await turn()
    assert stage.done == []
    stage.empty()
    await turn()
    assert stage.done == ["a|bye", "close"]
    assert stage.user.gone.done()


async def test_the_farewell_is_the_last_that_is_written(stage: Stage) -> None:
    """Whatever comes behind it, from either side."""
    stage.outbox.put("a")
    stage.outbox.close("bye")
    stage.outbox.put("b")
    await turn()
    stage.user.received(["1"], 5)
    stage.user.received_binary(5)
    stage.user.may_write()
    await turn()
    assert stage.done == ["a|bye", "close"]
    assert (stage.connection.received, stage.connection.charged) == ([], [])


async def test_nothing_is_written_to_a_socket_that_is_gone(stage: Stage) -> None:
    """And nobody waits for it."""
    stage.fill()
    stage.outbox.put("a")
    drained = asyncio.create_task(stage.outbox.drained())
    await turn()
    stage.user.lost()
    stage.user.lost()
    stage.socket.is_full = False
    await drained
    stage.outbox.put("b")
    await turn()
    assert stage.done == []


async def test_a_frame_that_cannot_be_made_ends_the_connection(stage: Stage) -> None:
    """A bug of ours: what was taken with it is lost, and must not be missing in silence."""

    def fail() -> str:
        raise RuntimeError

    stage.outbox.put("a")
    stage.outbox.put_latest("k", fail)
    with capture_logs() as logs:
        await turn()
    assert stage.done == ["abort"]
    assert [line["event"] for line in logs] == ["write_failed"]


async def test_serving_ends_with_the_socket(stage: Stage) -> None:
    """What was under way has ended by then, and the socket is not touched again."""
    socket, outbox = FakeSocket(), Outbox(too_slow="")
    connection = FakeConnection(outbox)
    connection.gate = asyncio.Event()
    actor = cast("SocketActor", connection)
    serving = asyncio.create_task(
        serve_socket(cast("Socket", socket), actor, outbox, {}, stage.passes)
    )
    await turn()
    assert socket.user is not None
    socket.user.received(["1"], 1)
    await turn()
    socket.user.lost()
    await serving
    connection.gate.set()
    await turn()
    assert (connection.received, socket.done, outbox.closing) == ([], [], True)


async def test_serving_that_is_cancelled_ends_the_socket(stage: Stage) -> None:
    """A server that stops."""
    socket, outbox = FakeSocket(), Outbox(too_slow="")
    serving = asyncio.create_task(
        serve_socket(
            cast("Socket", socket),
            cast("SocketActor", FakeConnection(outbox)),
            outbox,
            {},
            stage.passes,
        )
    )
    await turn()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert socket.done == ["abort"]
