r"""An HTTP server that says what it was told to, and a proxy that buffers.

async with canned(b"HTTP/1.1 200 OK\r\n\r\n", b"body") as url: ...
async with buffering_proxy(relay.port) as url: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Let `handler` have each connection; yields the address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def canned(*pieces: bytes) -> AbstractAsyncContextManager[str]:
    """Answer every request with these bytes, and close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines(pieces)
        await writer.drain()

    return serving(handle)


def buffering_proxy(port: int) -> AbstractAsyncContextManager[str]:
    """Pass one request of each connection on to `port`, and its answer back when it is whole."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = await reader.readexactly(int(line.partition(b":")[2]))
        # The relay closes then, and this is how the end of the answer is known.
        head = head[:-2] + b"Connection: close\r\n\r\n"
        upstream, to_relay = await asyncio.open_connection("127.0.0.1", port)
        to_relay.write(head + body)
        writer.write(await upstream.read())
        await writer.drain()
        to_relay.close()

    return serving(handle)
