"""A device's socket whose kernel notes when what it received came.

Whoever measures beside attackers shares its core with them: it reads late what came in time, and
that would be taken for the server's fault. Linux stamps what comes over loopback while its sender
is still writing it (SO_TIMESTAMPNS, socket(7)).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Final

from bench.wire import DeviceSocket

SO_TIMESTAMPNS: Final = 35
"""Of Linux, also the type of its control message; Python has no name for it."""

_TIMESPEC: Final = struct.Struct("qq")
_ROOM: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_READ_BYTES: Final = 65_536


class StampedSocket(DeviceSocket):
    """A `DeviceSocket` that reads by itself; `read_at` is when the last byte of a read came."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__()
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._ahead_s = time.time() - time.monotonic()
        """How far the kernel's clock is ahead of ours."""
        self._loop.add_reader(connected, self._read)

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket: a question, which fits."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            data, notes, _, _ = self._socket.recvmsg(_READ_BYTES, _ROOM)
        except BlockingIOError:
            return
        except ConnectionError as error:
            self._end(error)
            return
        if not data:
            self._end(None)
            return
        at = time.time()
        # Linux begins to stamp a moment after the first socket has asked for it.
        for _, _, stamp in notes:
            seconds, nanoseconds = _TIMESPEC.unpack(stamp)
            at = seconds + nanoseconds / 1e9
        self.take(data, at - self._ahead_s)

    def _end(self, error: Exception | None) -> None:
        self._loop.remove_reader(self._socket)
        self.connection_lost(error)


async def connect_stamped(host: str, port: int) -> StampedSocket:
    """Connect. Raises `OSError` where nobody listens."""
    connected = socket.socket()
    try:
        connected.settimeout(0.0)
        connected.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        await asyncio.get_running_loop().sock_connect(connected, (host, port))
    except BaseException:
        connected.close()
        raise
    return StampedSocket(connected)
