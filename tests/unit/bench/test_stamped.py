"""A device whose kernel notes when what it received came."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bench import stamped
from bench.stamped import SO_TIMESTAMPNS, StampedSocket, connect_stamped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux stamps, others do not")


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[StampedSocket, socket.socket]]:
    """A device, and the server's end of its connection, which closes first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        device = await connect_stamped(*listener.getsockname())
        with listener.accept()[0] as peer:
            yield device, peer
        await device.closed
        device.close()


@pytest.fixture
def stamping() -> Iterator[None]:
    """A socket that asked for stamps, and has been given one: from then on all are."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
        listener.accept()[0] as peer,
    ):
        ours.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        notes: Sequence[object] = ()
        while not notes:
            peer.sendall(b"x")
            notes = ours.recvmsg(1, 64)[1]
        yield


async def test_what_came_before_linux_stamps_came_when_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not fail: Linux begins a moment after it was asked."""
    monkeypatch.setattr(stamped, "SO_TIMESTAMPNS", socket.SO_KEEPALIVE)
    async with connected() as (device, peer):
        before = time.monotonic()
        peer.sendall(b"#000007")
        await device.begun
        assert before - 0.01 <= device.read_at[7] <= time.monotonic() + 0.01


@pytest.mark.usefixtures("stamping")
async def test_what_is_read_late_has_come_in_time() -> None:
    """A reader that was busy for long is not what the server is blamed for."""
    async with connected() as (device, peer):
        before = time.monotonic()
        peer.sendall(b"#000007")
        sent = time.monotonic()
        # Busy, and nothing can be read meanwhile.
        while time.monotonic() < sent + 0.25:
            pass
        await device.begun
        assert before - 0.01 <= device.read_at[7] <= sent + 0.01
        device.write(b"question")
        assert peer.recv(64) == b"question"


async def test_a_device_that_hangs_up_may_do_so_twice() -> None:
    """As at the end of a turn that was cut short; a server that resets is one that closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        device = await connect_stamped(*listener.getsockname())
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        await device.closed
        device.close()
        device.close()


async def test_where_nobody_listens_is_an_error() -> None:
    """And the socket is closed: warnings are errors here."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.wait_for(connect_stamped(*address), 5.0)
