"""The frames of one socket are acted on in their order, and by a task only where one must wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from typing import cast

import pytest
from structlog.testing import capture_logs

from relay.protocol.events import Chunk
from relay.web.intake import WAITING_CHARS_MAX, WAITING_FRAMES_MAX, FrameActor, Intake
from relay.web.outbox import ANSWERS_MAX_BYTES, Outbox
from tests.unit.web.fakes import eventually


def chunk(content: str, stream: str = "s") -> str:
    """The usual frame."""
    data = {"type": "stream_chunk", "session_id": stream, "content": content, "sequence": 0}
    return json.dumps({"command": "message", "identifier": "i", "data": json.dumps(data)})


class Acted:
    """A connection that notes what it is given, and may have to wait."""

    def __init__(self) -> None:
        self.acted: list[str] = []
        self.gate: asyncio.Event | None = None
        """Whether acting on anything waits, and until when."""
        self.chunks_wait = False
        self.open = True
        self.failure: Exception | None = None

    async def receive(self, raw: str) -> None:
        """Act on one frame."""
        if self.failure is not None:
            raise self.failure
        if self.gate is not None:
            await self.gate.wait()
        self.acted.append(raw)

    def open_stream(self, identifier: str, stream_id: str) -> str | None:
        """All streams are open, or none; one is known by its id."""
        return stream_id if self.open else None

    def receive_chunks(self, stream_id: str, chunks: Sequence[Chunk]) -> Awaitable[None] | None:
        """Act on chunks, at once or later."""
        self.acted.append(f"{stream_id}:{''.join(one.content for one in chunks)}")
        return self._stored(stream_id) if self.chunks_wait else None

    async def _stored(self, stream_id: str) -> None:
        assert self.gate is not None
        await self.gate.wait()
        self.acted.append(f"{stream_id} stored")


class Stage:
    """An intake, and what it says about itself."""

    def __init__(self) -> None:
        self.connection = Acted()
        self.outbox = Outbox(too_slow="")
        self.said: list[str] = []
        self.intake = Intake(
            cast("FrameActor", self.connection),
            self.outbox,
            names={"bot_id": 1},
            hold=lambda: self.said.append("hold"),
            go_on=lambda: self.said.append("go on"),
            failed=lambda: self.said.append("failed"),
        )

    @property
    def acted(self) -> list[str]:
        """What was acted on."""
        return self.connection.acted


@pytest.fixture
async def stage() -> Stage:
    """Nothing has come."""
    return Stage()


async def test_chunks_are_acted_on_at_once_those_of_a_stream_together(stage: Stage) -> None:
    """No task is needed, and no turn of the loop."""
    tasks = asyncio.all_tasks()
    stage.intake.take([chunk("a"), chunk("x", "t"), chunk("b"), chunk("y", "t")])
    assert stage.acted == ["s:ab", "t:xy"]
    assert asyncio.all_tasks() == tasks


async def test_the_order_is_kept_across_chunks_and_other_frames(stage: Stage) -> None:
    """What comes behind a frame that may wait is acted on behind it, chunks included."""
    stage.intake.take([chunk("a"), chunk("b"), "1", chunk("c"), "2", "3", chunk("d"), chunk("e")])
    assert stage.acted == ["s:ab"]
    stage.intake.take([chunk("f"), "4"])
    await eventually(lambda: len(stage.acted) >= 7)
    assert stage.acted == ["s:ab", "1", "s:c", "2", "3", "s:def", "4"]


async def test_a_chunk_that_is_not_taken_so_goes_the_long_way(stage: Stage) -> None:
    """The relay may have to ask somebody about its stream."""
    stage.connection.open = False
    stage.intake.take([chunk("a"), chunk("b")])
    await eventually(lambda: len(stage.acted) == 2)
    assert stage.acted == [chunk("a"), chunk("b")]


async def test_what_comes_behind_chunks_waits_until_they_are_stored(stage: Stage) -> None:
    """With a broker that is asked over the network."""
    stage.connection.gate, stage.connection.chunks_wait = asyncio.Event(), True
    stage.intake.take([chunk("a"), chunk("x", "t")])
    stage.intake.take([chunk("b")])
    for _ in range(5):
        await asyncio.sleep(0)
    assert stage.acted == ["s:a", "t:x"]
    stage.connection.gate.set()
    await eventually(lambda: len(stage.acted) == 5)
    assert stage.acted[:4] == ["s:a", "t:x", "s stored", "t stored"]
    stage.connection.chunks_wait = False
    await eventually(lambda: stage.intake._task is None)  # noqa: SLF001 - else it is to be waited
    stage.intake.take([chunk("c")])
    assert stage.acted[-1] == "s:c"


async def test_a_socket_whose_frames_wait_is_held_until_all_are_acted_on(stage: Stage) -> None:
    """By their number."""
    stage.connection.gate = asyncio.Event()
    stage.intake.take(["x"] * WAITING_FRAMES_MAX)
    assert stage.said == []
    stage.intake.take(["x"])
    stage.intake.take(["x"])
    assert stage.said == ["hold"]
    stage.connection.gate.set()
    await eventually(lambda: len(stage.acted) == WAITING_FRAMES_MAX + 2)
    await eventually(lambda: stage.said == ["hold", "go on"])
    stage.intake.take(["y"])
    await eventually(lambda: stage.acted[-1] == "y")
    assert stage.said == ["hold", "go on"]


async def test_a_few_frames_that_are_very_long_hold_it_as_well(stage: Stage) -> None:
    """Else 256 of the longest would take 64 MiB."""
    stage.connection.gate = asyncio.Event()
    stage.intake.take(["x", "y" * WAITING_CHARS_MAX])
    assert stage.said == ["hold"]
    stage.connection.gate.set()
    await eventually(lambda: stage.said == ["hold", "go on"])


async def test_nothing_is_acted_on_while_the_answers_are_not_read(stage: Stage) -> None:
    """What has come already must not fill the outbox behind the socket's back."""
    stage.outbox.put("z" * (ANSWERS_MAX_BYTES + 1))
    stage.intake.take(["1", "2"])
    await eventually(lambda: stage.acted == ["1"])
    for _ in range(5):
        await asyncio.sleep(0)
    assert stage.acted == ["1"]
    _, size = stage.outbox.take()
    stage.outbox.written(size)
    await eventually(lambda: stage.acted == ["1", "2"])


async def test_many_frames_that_need_not_wait_let_others_have_their_turn(stage: Stage) -> None:
    """Nothing of them awaits anything."""
    stage.intake.take(["x"] * 200)
    turns = 0
    while len(stage.acted) < 200:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 3


async def test_a_bug_of_ours_ends_the_connection(stage: Stage) -> None:
    """It is logged with its names, and nothing behind it is acted on."""
    stage.connection.failure = RuntimeError("bug")
    with capture_logs() as logs:
        stage.intake.take(["1", "2"])
        await eventually(lambda: stage.said == ["failed"])
    assert [(line["event"], line["bot_id"]) for line in logs] == [("connection_failed", 1)]
    assert stage.acted == []


async def test_closing_ends_what_is_under_way(stage: Stage) -> None:
    """It returns once that has ended, and what waited is never acted on."""
    stage.connection.gate = asyncio.Event()
    stage.intake.take(["1", "2", chunk("a")])
    await asyncio.sleep(0)
    await stage.intake.close()
    stage.connection.gate.set()
    await asyncio.sleep(0)
    assert stage.acted == []
    await stage.intake.close()
