"""Devices on real sockets that read more slowly than an answer comes, or not at all for a while."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import h11
import httpx

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

CHUNKS: Final = tuple(f"{number:04d} " + "x" * 7_995 for number in range(250))
"""Two megabytes: far more than the sockets on the way hold."""

RATE: Final = 300_000
"""Bytes per second of a device that is slow, and reads. All of it takes longer than the 5 s that
one who reads nothing has."""

RECEIVE_BUFFER: Final = 4_096
SEGMENT: Final = 1_448
"""As on a real network: the loopback's own is 64 KB, and a small buffer never has room for it."""

TIMEOUT_S: Final = 60.0


class Device:
    """One connection of a reader that gives its position, where it has one."""

    def __init__(self, port: int, url: str, position: str = "") -> None:
        self.whole = False
        """Whether the response has come to its end."""
        self.shown: list[tuple[str, str]] = []
        """The id and the content of each event that came whole."""
        self._address = ("127.0.0.1", port)
        self._url = url
        self._position = position
        self._rest = b""
        self._http = h11.Connection(h11.CLIENT)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self._socket.setblocking(False)

    async def ask(self) -> None:
        """Connect and ask for the stream."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        headers = [("Host", "a")] + ([("Last-Event-ID", self._position)] if self._position else [])
        request = self._http.send(h11.Request(method="GET", target=self._url, headers=headers))
        await loop.sock_sendall(self._socket, request + self._http.send(h11.EndOfMessage()))

    async def read(self, rate: int, until: int = 0) -> None:
        """Read at this rate to the end, whoever makes it, or for so many bytes."""
        loop = asyncio.get_running_loop()
        began, size = loop.time(), 0
        while not self.whole and (not until or size < until):
            try:
                data = await loop.sock_recv(self._socket, 16_384)
            except ConnectionError:
                return
            if not data:
                return
            size += len(data)
            self._http.receive_data(data)
            self._take()
            await asyncio.sleep(size / rate - (loop.time() - began))

    def _take(self) -> None:
        while (event := self._http.next_event()) is not h11.NEED_DATA:
            match event:
                case h11.Data():
                    *blocks, self._rest = (self._rest + bytes(event.data)).split(b"\n\n")
                    for block in blocks:
                        self._show(block.decode())
                case h11.EndOfMessage():
                    self.whole = True
                    return
                case _:
                    assert isinstance(event, h11.Response), event
                    assert event.status_code == 200

    def _show(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] != ":")
        if fields:
            said = json.loads(fields["data"])
            self.shown.append((fields["id"], said.get("content", said["type"])))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@asynccontextmanager
async def device(relay: RelayServer, url: str, position: str = "") -> AsyncIterator[Device]:
    """A device that has asked."""
    one = Device(relay.port, url, position)
    try:
        await one.ask()
        yield one
    finally:
        one.close()


async def let_go(relay: RelayServer, stream_id: str) -> None:
    """Wait until a device of this stream was let go."""
    wanted = re.compile(f"device_let_go .*{stream_id}")
    while not wanted.search(relay.log):  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.1)


async def test_who_reads_slowly_is_served_and_who_does_not_read_comes_back(
    relay: RelayServer,
) -> None:
    """The one gets all in one response; the other is cut, and has the rest by its position."""
    async with asyncio.timeout(TIMEOUT_S), raw_bot(relay) as bot:
        async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
            response = await client.post(
                "/api/rokid/trigger",
                json=question(relay.bot().user_id),
                headers={"Authorization": f"Bearer {relay.key}"},
            )
        url: str = response.json()["events_url"]
        relay.secrets.append(url.partition("ticket=")[2])
        stream_id = stream_of(await bot.command())
        async with device(relay, url) as slow, device(relay, url) as stalled:
            reading = asyncio.create_task(slow.read(RATE))
            begun = asyncio.create_task(stalled.read(RATE, until=100_000))
            for start in range(0, len(CHUNKS), 25):
                for sequence in range(start, start + 25):
                    await bot.chunk(stream_id, sequence, CHUNKS[sequence])
                await bot.acked(stream_id, start + 25)
            await bot.end(stream_id, CHUNKS)
            await begun
            await let_go(relay, stream_id)
            await stalled.read(RATE)
            async with device(relay, url, stalled.shown[-1][0]) as again:
                await again.read(10 * RATE)
            await reading
    assert slow.whole, f"cut off after {len(slow.shown)} chunks"
    assert [content for _, content in slow.shown] == [*CHUNKS, "stream_end"]
    assert (stalled.whole, again.whole) == (False, True)
    assert len(stalled.shown) < len(CHUNKS)
    assert stalled.shown + again.shown == slow.shown
    assert "without completing response" not in relay.log
