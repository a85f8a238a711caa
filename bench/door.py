"""A way to a server that can be cut, held and pointed elsewhere: what a proxy or a name does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Door:
    """`async with Door(port) as door`: connect to `door.port` instead; both on 127.0.0.1."""

    def __init__(self, there: int) -> None:
        self.there = there
        """The port behind the door; a new one counts for new connections."""
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def cut(self) -> None:
        """Break every connection without a goodbye; new ones are taken at once."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Pass nothing on from now on; connections stay. What was held is lost by a cut."""
        self._open.clear()

    def release(self) -> None:
        """Pass on again, what was held first."""
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other = await asyncio.open_connection("127.0.0.1", self.there)
        except OSError:
            writer.transport.abort()
            return
        mine = {writer, other}
        self._writers |= mine
        try:
            await asyncio.gather(self._pass(reader, other), self._pass(other_reader, writer))
        finally:
            self._writers -= mine
            for one in mine:
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.release()
        self.cut()
