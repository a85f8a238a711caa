"""`async with Wire(port) as wire`: a way to a server, which can be cut, muted or led elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Wire:
    """Forwards TCP to `target`, a port of 127.0.0.1; a change of it is for new connections.

    While `mute`, what the server says is thrown away: commands are done and nobody learns of it.
    While `down`, connections are broken as soon as they are made.
    """

    def __init__(self, port: int, scheme: str = "redis") -> None:
        self.connections = 0
        """How many were begun."""
        self.mute = False
        self.lost = asyncio.Event()
        """Whether a reply was thrown away."""
        self.down = False
        self.target = port
        self._scheme = scheme
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it begins."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection, without a goodbye to either side."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def kill(self) -> None:
        """Let nothing through any more."""
        self.down = True
        self.cut()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted transports close their sockets in the next pass

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        if self.down:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        for source, target, is_reply in ((reader, back, False), (there, writer, True)):
            task = asyncio.create_task(self._copy(source, target, is_reply=is_reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if is_reply and self.mute:
                    self.lost.set()
                else:
                    writer.write(data)
                    await writer.drain()
        writer.close()
