"""A scripted HTTP server on a real socket: the test writes each response byte by byte."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class Exchange:
    """One request, and the connection for its response."""

    def __init__(
        self,
        head: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        lines = head.decode("ascii").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        self.headers = {name.lower(): value for name, value in pairs}
        self.body = body
        self._reader = reader
        self._writer = writer

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: int, value: object) -> None:
        """A whole response of JSON."""
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n"
        await self.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._writer.close()

    async def start_events(self, *, headers: str = "") -> None:
        """The head of an event stream, and the comment that the relay sends first."""
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        await self.send(f"{head}{headers}Transfer-Encoding: chunked\r\n\r\n".encode())
        await self.piece(b": stream s1\n\n")

    async def piece(self, data: bytes) -> None:
        """One chunk of the body."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, position: str, type_: str, **fields: object) -> None:
        """One event of the plain protocol."""
        data = json.dumps({"type": type_, "session_id": "s1", **fields})
        await self.piece(f"id: {position}\ndata: {data}\n\n".encode())

    async def chunks(self, epoch: str, first: int, *texts: str) -> None:
        """Chunks of an undisturbed log: the offset is the sequence and one."""
        for number, text in enumerate(texts, first):
            await self.event(f"{epoch}.{number + 1}", "stream_chunk", sequence=number, content=text)

    async def end(self, position: str, outcome: str = "completed", total: int = 0) -> None:
        """The stream's end, and the response's."""
        await self.event(position, "stream_end", outcome=outcome, total_chunks=total)
        await self.finish()

    async def finish(self) -> None:
        """The end of the body in good order."""
        await self.send(b"0\r\n\r\n")
        self._writer.close()

    def cut(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        with suppress(ConnectionError):
            assert await self._reader.read() == b""


class FakeHttp:
    """`async with FakeHttp() as server`: listens on a free port of 127.0.0.1."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._asked: asyncio.Queue[Exchange] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def next(self) -> Exchange:
        """The next request."""
        async with asyncio.timeout(10):
            return await self._asked.get()

    async def triggered(self) -> Exchange:
        """Answer a trigger, and return the request for the events that follows it."""
        trigger = await self.next()
        assert (trigger.method, trigger.target) == ("POST", "/api/rokid/trigger")
        await trigger.answer(200, {"bot_id": 1, "session_id": "s1", "status": "triggered"})
        return await self.next()

    def is_quiet(self) -> bool:
        """Whether there is no request that the test has not taken."""
        return self._asked.empty()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(w.wait_closed() for w in self._writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        exchange = Exchange(head, b"", reader, writer)
        exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", "0")))
        self._asked.put_nowait(exchange)
