"""`async with Pass(port) as way`: a TCP proxy to a port of 127.0.0.1 that can misbehave.

Bytes are passed as they come. It can reset connections, refuse new ones, stand still, and swallow
the reply to a request while it cuts the connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Pass:
    """See the module."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.connections = 0
        self.swallowed = 0
        self.closed = False
        """Whether new connections are reset at once."""
        self._target = port
        self._swallow = b""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def reset(self) -> None:
        """Break every connection, without a goodbye."""
        for pair in list(self._pairs):
            pair.abort()

    def cut(self) -> None:
        """Break every connection and take no new one."""
        self.closed = True
        self.reset()

    def mend(self) -> None:
        """Take connections again."""
        self.closed = False

    def stall(self) -> None:
        """Let nothing pass, and close nothing, as a network that drops packets."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let everything pass again."""
        self._flowing.set()

    def swallow_reply_to(self, request: bytes) -> None:
        """Pass the next request that holds these bytes, and break its connection at the reply."""
        self._swallow = request

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
        self.cut()
        self.flow()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        if self.closed:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, there[1])
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._copy(pair, reader, there[1], is_request=True),
                self._copy(pair, there[0], writer, is_request=False),
            )
        finally:
            self._pairs.discard(pair)
            pair.abort()
            # So that the sockets are closed, and not only going to be.
            with suppress(OSError):
                await writer.wait_closed()
                await there[1].wait_closed()

    async def _copy(
        self,
        pair: _Pair,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_request: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                if is_request and self._swallow and self._swallow in data:
                    self._swallow = b""
                    pair.doomed = True
                elif not is_request and pair.doomed:
                    self.swallowed += 1
                    pair.abort()
                    return
                writer.write(data)
                await writer.drain()
        pair.abort()


class _Pair:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.doomed = False
        self._writers = writers

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
