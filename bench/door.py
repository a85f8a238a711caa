"""A way to a server that can be cut, locked, held and pointed elsewhere: what a network does."""

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
        self.swallowed = 0
        """How many replies were swallowed."""
        self._locked = False
        self._swallow = b""
        self._open = asyncio.Event()
        self._open.set()
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def cut(self) -> None:
        """Break every connection without a goodbye; new ones are taken at once."""
        for pair in self._pairs:
            pair.abort()

    def lock(self) -> None:
        """Break every connection, and each new one as soon as it comes."""
        self._locked = True
        self.cut()

    def unlock(self) -> None:
        """Take connections again."""
        self._locked = False

    def hold(self) -> None:
        """Pass nothing on from now on, also no goodbye; what was held is lost by a cut."""
        self._open.clear()

    def release(self) -> None:
        """Pass on again, what was held first."""
        self._open.set()

    def swallow_reply_to(self, request: bytes) -> None:
        """Pass the next request that holds these bytes, and break its connection at the reply."""
        self._swallow = request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        pair = _Pair(writer)
        self._pairs.add(pair)
        try:
            if self._locked:
                raise ConnectionRefusedError
            other_reader, other = await asyncio.open_connection("127.0.0.1", self.there)
            pair.add(other)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._ask(pair, reader, other))
                ways.create_task(self._answer(pair, other_reader, writer))
        except* OSError:
            pair.abort()
        finally:
            # The last that was said must still get out, and the sockets be closed behind it.
            await pair.close()
            self._pairs.discard(pair)

    async def _ask(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await self._next(reader):
            if self._swallow and self._swallow in data:
                self._swallow = b""
                pair.doomed = True
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _answer(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await self._next(reader):
            if pair.doomed:
                self.swallowed += 1
                raise ConnectionAbortedError
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(65_536)
        await self._open.wait()
        return data

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
        self.lock()
        await asyncio.gather(*self._serving, return_exceptions=True)


class _Pair:
    """A connection and the one behind the door."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.doomed = False
        """Whether it breaks at the next reply."""
        self._broken = False
        self._writers = [writer]

    def add(self, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._broken:
            self.abort()

    def abort(self) -> None:
        self._broken = True
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()
