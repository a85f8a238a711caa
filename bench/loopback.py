"""The floor: bytes of one socket are written to another, unread, by an asyncio process.

What a chunk takes here is what two sockets, the kernel, asyncio and the load generator cost. No
relay that runs on them can be faster.
"""

from __future__ import annotations

import asyncio


class Loopback:
    """Pairs of sockets, by number."""

    def __init__(self) -> None:
        self.devices: dict[bytes, asyncio.Transport] = {}


class Side(asyncio.Protocol):
    """One socket. Its first line says what it is: `bot 3` or `device 3`."""

    def __init__(self, loopback: Loopback) -> None:
        self._loopback = loopback
        self._number: bytes | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        assert self._transport is not None
        if self._number is None:
            line, _, data = data.partition(b"\n")
            side, _, self._number = line.partition(b" ")
            if side == b"device":
                self._loopback.devices[self._number] = self._transport
                self._transport.write(b"ok\n")
        if data:
            self._loopback.devices[self._number].write(data)


async def main() -> None:
    """Serve on a free port of 127.0.0.1 and print its address."""
    loopback = Loopback()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Side(loopback), "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
