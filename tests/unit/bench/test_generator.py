"""The load generator against servers that do it right, and servers that plant faults."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bench.contestants import target_of
from bench.generator.program import (
    GeneratorFailed,
    GeneratorMissing,
    Load,
    Measured,
    Target,
    build,
    run,
)
from relay.demo.relay_process import relay_process
from tests.support.admin_page import serving

SHORT = Load(streams=2, interval_us=5_000, warmup_ms=0, duration_ms=200, drain_ms=2_000)
CHUNKS = 40
"""That a stream of `SHORT` has."""

Deliver = Callable[[int, str], list[str]]
"""What a reader is given for a chunk, by its sequence and content."""


class Planting:
    """A server as bench/naive.py, but what it delivers is planted."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._queues: dict[str, SimpleQueue[str]] = {}

    async def cable(self, websocket: WebSocket) -> None:
        """Acknowledge everything."""
        await websocket.accept()
        try:
            while True:
                command = json.loads(await websocket.receive_text())
                if command["command"] == "subscribe":
                    await websocket.send_json({"type": "confirm_subscription"})
                    continue
                chunk = json.loads(command["data"])
                for content in self._deliver(chunk["sequence"], chunk["content"]):
                    self._queues[chunk["session_id"]].put(content)
                message = {"type": "chunk_received", "sequence": chunk["sequence"]}
                message["session_id"] = chunk["session_id"]
                await websocket.send_json({"identifier": "", "message": message})
        except WebSocketDisconnect:
            pass

    async def listen(self, request: Request) -> StreamingResponse:
        """Deliver."""
        queue = self._queues[request.path_params["stream"]] = SimpleQueue()

        async def events() -> AsyncIterator[str]:
            yield ": hello\n\n"
            while True:
                while queue.empty():  # noqa: ASYNC110 - the bot's task is another's
                    await anyio.sleep(0.002)
                # In two pieces: an event may be cut anywhere.
                event = f"data: {json.dumps({'answer': queue.get()})}\n\n"
                yield event[:20]
                yield event[20:]

        return StreamingResponse(events(), media_type="text/event-stream")


@contextmanager
def planting(deliver: Deliver) -> Iterator[Target]:
    """Serve such a server."""
    server = Planting(deliver)
    routes = [WebSocketRoute("/cable", server.cable), Route("/sse/{stream}", server.listen)]
    with serving(Starlette(routes=routes)) as base:
        yield Target("cable", int(base.rpartition(":")[2]), ())


async def measured(deliver: Deliver, load: Load = SHORT) -> Measured:
    """Run the generator against it."""
    with planting(deliver) as target:
        return await run(target, load)


def as_it_came(sequence: int, content: str) -> list[str]:
    """Plant nothing."""
    return [content]


def swapped() -> Deliver:
    """Hold the third chunk of a stream back until the fourth has gone."""
    held: list[str] = []

    def deliver(sequence: int, content: str) -> list[str]:
        if sequence == 3:
            held.append(content)
            return []
        return [content, held.pop()] if sequence == 4 else [content]

    return deliver


async def test_a_server_without_faults_has_none() -> None:
    """Every chunk arrives, is acknowledged, and has a latency; nobody repeats or swaps one."""
    one = await measured(as_it_came)
    assert (one.sent, one.acked, one.delivered) == (2 * CHUNKS,) * 3
    assert one.is_whole, one.faults()
    assert one.latency_us.n == one.ack_us.n == one.lag_us.n == 2 * CHUNKS
    assert 0 < one.latency_us.p50 <= one.latency_us.p99 <= one.latency_us.max
    assert one.faults() == ""


async def test_a_closed_loop_waits_for_acknowledgements() -> None:
    """With a window of one chunk the next is said when the last is acknowledged, and not before."""
    one = await measured(as_it_came, replace(SHORT, interval_us=0, window=1))
    assert one.is_whole, one.faults()
    assert one.sent == one.acked > 2


@pytest.mark.parametrize(
    ("deliver", "fault", "count"),
    [
        pytest.param(lambda n, c: [] if n == 7 else [c], "lost", 2, id="lost"),
        pytest.param(lambda n, c: [c, c] if n == 7 else [c], "repeated", 2, id="repeated"),
        pytest.param(swapped(), "disordered", 1, id="disordered"),
        pytest.param(lambda n, c: [c[:-1] + "!"] if n == 7 else [c], "corrupt", 2, id="changed"),
        pytest.param(lambda n, c: [c[:-1]] if n == 7 else [c], "corrupt", 2, id="cut"),
        pytest.param(lambda n, c: ["#?" + c[2:]] if n == 7 else [c], "corrupt", 2, id="mark"),
    ],
)
async def test_a_planted_fault_is_seen(deliver: Deliver, fault: str, count: int) -> None:
    """What is lost, repeated, swapped or changed on its way is counted, each as what it is."""
    streams = 1 if fault == "disordered" else 2
    one = await measured(deliver, replace(SHORT, streams=streams))
    assert getattr(one, fault) == count
    assert not one.is_whole
    assert fault in one.faults()


async def test_a_chunk_of_another_stream_is_foreign() -> None:
    """A chunk that a reader of the other stream gets belongs to nobody there."""
    first: list[str] = []

    def deliver(sequence: int, content: str) -> list[str]:
        if sequence == 7:
            first.append(content)
        return [content, first[0]] if sequence == 9 else [content]

    one = await measured(deliver, replace(SHORT, per_socket=2))
    assert (one.foreign, one.repeated, one.lost) == (1, 1, 0)


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("interval_us", [0, 5_000])
async def test_a_relay_is_spoken_to_as_bots_and_devices_do(protocol: int, interval_us: int) -> None:
    """Both protocols, many streams on a socket, many readers of each: everything arrives."""
    load = replace(
        SHORT, streams=4, readers=3, per_socket=2, protocol=protocol, interval_us=interval_us
    )
    async with relay_process({"RELAY_DRAIN_SECONDS": "0"}, bots=load.bots) as relay:
        one = await run(target_of(relay), load)
    assert one.is_whole, one.faults()
    assert one.delivered == 3 * one.sent > 0
    assert one.acked == one.sent
    assert one.pss_kb_readers >= one.pss_kb_before > 0


async def test_what_a_relay_refuses_is_said() -> None:
    """A bot with a wrong token gets no further, and the run says what it was told."""
    async with relay_process({"RELAY_DRAIN_SECONDS": "0"}) as relay:
        target = replace(target_of(relay), bots=(("wrong", "user-0"),))
        one = await run(target, replace(SHORT, streams=1))
    assert one.errors > 0
    assert "unauthorized" in one.first_error


async def test_what_makes_no_sense_is_refused() -> None:
    """A chunk cannot be shorter than its mark."""
    with pytest.raises(GeneratorFailed, match="--size is 10 to 16384"):
        await run(Target("cable", 9, ()), replace(SHORT, size=9))


async def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the packages."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(GeneratorMissing, match="apt-get install gcc libc6-dev"):
        await build(tmp_path)


async def test_it_is_built_once(tmp_path: Path) -> None:
    """The second time the program is there, and stays as it is."""
    first = await build(tmp_path / "cache")
    built_at = first.stat().st_mtime_ns
    assert await build(tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == built_at
    assert [path.name for path in first.parent.iterdir()] == [first.name]
