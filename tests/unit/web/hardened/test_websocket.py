"""A WebSocket: an end to floods of pings, and patience with whom we slow down ourselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import Mock

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from relay.limits.allowance import Allowance
from relay.limits.bucket import BURST_S
from relay.limits.door import Door
from relay.web.hardened.websocket import PINGS_PER_S, HardenedWebSocket
from tests.unit.web.hardened.peers import (
    ALL_WAYS,
    BOTH_WAYS,
    END,
    TIMEOUT_S,
    UPGRADE,
    Wire,
    patient,
)
from tests.unit.web.ways import Way


async def flood_with(data: bytes, writer: asyncio.StreamWriter, total: int) -> None:
    """Send the same again and again, as fast as it is taken."""
    for _ in range(total // len(data)):
        writer.write(data)
        await writer.drain()


@ALL_WAYS
async def test_a_flood_of_pings_is_cut_and_not_kept(way: Way) -> None:
    """The peer reads nothing: its pongs would gather in our memory without end."""
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await way.listen_to(scope, receive, send)
        gone.set()

    async with way.serve(app) as port, asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)
        assert b"101" in await reader.readuntil(END)
        ping = b"\x89\xfd" + b"\0\0\0\0" + b"x" * 125
        flood = ping * 1_000
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001
        with pytest.raises(ConnectionError):
            await flood_with(flood, writer, 100 * 1_048_576)
        await gone.wait()
        writer.close()


@ALL_WAYS
async def test_pings_that_come_too_fast_end_the_connection_though_pongs_are_read(
    way: Way,
) -> None:
    """Fifty at once are answered; of a flood each would cost a write. Close code 1008."""
    door = Door(Allowance())
    async with way.serve(patient(way), door) as port, asyncio.timeout(TIMEOUT_S):
        async with connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None) as peer:
            for _ in range(int(PINGS_PER_S * BURST_S)):
                pong = await peer.ping()
                await pong
            for _ in range(int(PINGS_PER_S * BURST_S)):
                with suppress(ConnectionClosed):
                    _ = await peer.ping()
            await peer.wait_closed()
        assert (peer.close_code, peer.close_reason) == (1008, "rate_limited")
        while len(door):  # noqa: ASYNC110 - a socket has no event for it
            await asyncio.sleep(0.001)


def protocol_of(way: Way, app: ASGIApp | None = None) -> HardenedWebSocket:
    """A protocol as the relay's server makes it."""
    config = way.config(app or patient(way))
    make: Callable[..., asyncio.Protocol] | None = config.ws_protocol_class
    assert make is not None
    protocol = make(config, ServerState(), {}, asyncio.get_running_loop())
    assert isinstance(protocol, HardenedWebSocket)
    return protocol


@BOTH_WAYS
async def test_peers_that_came_together_are_not_asked_in_one_moment(way: Way) -> None:
    """A thousand pings and their pongs in the same second delay every stream."""
    first_s = []
    now = asyncio.get_running_loop().time()
    interval_s = protocol_of(way).ping_interval or 0.0
    for _ in range(100):
        protocol = protocol_of(way)
        protocol.start_keepalive()
        assert protocol.ping_timer is not None
        first_s.append(protocol.ping_timer.when() - now)
        protocol.stop_keepalive()
    assert max(first_s) - min(first_s) > 0.3 * interval_s
    assert 0.4 * interval_s < min(first_s) < max(first_s) < 1.2 * interval_s


@BOTH_WAYS
async def test_a_peer_that_is_slowed_down_is_not_taken_for_dead(way: Way) -> None:
    """Its pong lies behind what was not read yet; one that is silent is let go as ever."""
    wire = Wire()
    protocol = protocol_of(way)
    protocol.connection_made(wire)
    closed = []
    for paused, silent_s in ((True, 10.0), (False, 0.0), (False, 10.0)):
        protocol.read_paused = paused
        protocol._heard_at = protocol.loop.time() - silent_s  # noqa: SLF001 - else one would wait
        protocol.keepalive_timeout()
        closed.append(wire.closed)
    assert closed == [False, False, True]
    protocol.connection_lost(None)


@ALL_WAYS
async def test_what_came_early_from_a_peer_that_is_gone_is_not_taken(way: Way) -> None:
    """Its transport is closed, and is not to read on."""
    accepted, lost = asyncio.Event(), asyncio.Event()
    heard: list[Message] = []

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        accepted.set()
        await lost.wait()
        heard.extend([await receive()])

    wire = Mock(wraps=Wire())
    protocol = protocol_of(way, app)
    protocol.connection_made(wire)
    protocol.data_received(UPGRADE)
    protocol.data_received(bytes([0x81, 0x81, 0, 0, 0, 0]) + b"a")
    await accepted.wait()
    protocol.connection_lost(None)
    lost.set()
    await asyncio.gather(*protocol.tasks)
    assert [message["type"] for message in heard] == ["websocket.disconnect"]
    wire.resume_reading.assert_not_called()
