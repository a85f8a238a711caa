"""Just enough of HTTP/1.1 and Server-Sent Events, over a plain socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

CALL_S = 20.0


@dataclass(slots=True)
class Response:
    """A response whose head was read."""

    status: int
    headers: dict[str, str]
    _reader: asyncio.StreamReader

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises `OSError` where it breaks off."""
        if self.headers.get("transfer-encoding") != "chunked":
            length = self.headers.get("content-length")
            if length is None:
                while data := await self._reader.read(65_536):
                    yield data
            else:
                yield await self._reader.readexactly(int(length))
            return
        while True:
            size = int((await self._reader.readline()).strip() or b"x", 16)
            data = await self._reader.readexactly(size + 2)
            if size == 0:
                return
            yield data[:-2]

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        """Yield the id and the data of each event that has data."""
        rest = b""
        async for data in self.body():
            *blocks, rest = (rest + data).split(b"\n\n")
            for block in blocks:
                event_id, lines = "", []
                for line in block.decode().split("\n"):
                    name, _, value = line.partition(":")
                    if name == "id":
                        event_id = value.removeprefix(" ")
                    elif name == "data":
                        lines.append(value.removeprefix(" "))
                if lines:
                    yield event_id, json.loads("\n".join(lines))
        if rest:
            raise ConnectionError("the stream ended within an event")


@asynccontextmanager
async def request(
    port: int, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> AsyncIterator[Response]:
    """Send a request to 127.0.0.1. Raises `OSError` for whatever goes wrong on the way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        given = {name.lower(): value for name, _, value in pairs}
        yield Response(int(head[0].split()[1]), given, reader)
    except (asyncio.IncompleteReadError, ValueError) as error:
        raise ConnectionError(f"the response broke off: {error}") from error
    finally:
        writer.transport.abort()


async def call(
    port: int, method: str, path: str, headers: Mapping[str, str], body: object = None
) -> tuple[int, Any]:
    """Send JSON and return the status and the JSON of the answer."""
    raw = b"" if body is None else json.dumps(body).encode()
    async with asyncio.timeout(CALL_S), request(port, method, path, headers, raw) as response:
        answer = b"".join([data async for data in response.body()])
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return response.status, json.loads(answer) if is_json else None
