"""Both ways to a socket give a device the same bytes, and end who does not read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import h11
import pytest

from relay.web import outbox as outbox_module
from relay.web import sse as sse_module
from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import QUESTION, Served, answer, serving

TIMEOUT_S = 20.0
SUBSCRIBE = json.dumps({"command": "subscribe", "identifier": '{"channel":"BotChannel"}'}).encode()
UPGRADE = (
    b"GET /cable?sdk_token=token-1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    + bytes((0x81, 0x80 | len(SUBSCRIBE)))
    + bytes(4)
    + SUBSCRIBE
)
"""A bot in one segment."""

MEBIBYTE = 1_048_576


def request_of(version: str = "1.1") -> bytes:
    """A question of glasses."""
    body = json.dumps(QUESTION).encode()
    return (
        f"POST /sse/rokid HTTP/{version}\r\nHost: a\r\nAuthorization: Bearer ak_1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


@asynccontextmanager
async def asked(
    web: Served, request: bytes, *, buffer: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that has asked. `buffer`: what its kernel takes, in bytes."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", web.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2_048)
    writer.write(request)
    yield reader, writer
    writer.transport.abort()


def session_of(command: dict[str, JsonValue]) -> str:
    """The stream that a command opens."""
    metadata = command["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["session_id"])


async def raw_answer(fast_path: str, version: str) -> tuple[bytes, set[bytes], bytes]:
    """The status line, the headers, and the body once it is unchunked; without what is random."""
    async with (
        serving(fast_path=fast_path) as web,
        web.bot() as bot,
        asked(web, request_of(version)) as (reader, _),
    ):
        session = session_of(await bot.until("execute_command"))
        await answer(bot, session, "Hello ", "你好🦞", "", "\r\n", "x" * 10_000)
        raw = await reader.read(-1)
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *headers = head.replace(session.encode(), b"SESSION").splitlines()
    if version == "1.1":
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="POST", target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(raw)
        body = b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Response | h11.Data), event
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
    kept = {line for line in headers if not line.lower().startswith(b"date:")}
    return status, kept, body.replace(session.encode(), b"SESSION")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_both_paths_answer_with_the_same_bytes(version: str) -> None:
    """The same headers but the date, and the same body once it is unchunked."""
    fast, plain = await raw_answer("on", version), await raw_answer("off", version)
    assert fast == plain
    assert fast[0] == b"HTTP/1.1 200 OK"
    assert "你好".encode("unicode_escape") in fast[2] or "你好".encode() in fast[2]


async def test_devices_that_do_not_read_are_let_go_and_delay_nobody(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never reads, one that reads slowly and one that reads: the last gets it all."""
    monkeypatch.setattr(sse_module, "SEND_TIMEOUT_S", 1.0)
    async with (
        asyncio.timeout(TIMEOUT_S),
        web.bot() as bot,
        asked(web, request_of(), buffer=4_096) as (never, _),
    ):
        never._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001
        stalled = session_of(await bot.until("execute_command"))
        ask = asyncio.create_task(web.ask())
        read = session_of(await bot.until("execute_command"))
        for sequence in range(150):
            content = "x" * 15_000
            for session in (stalled, read):
                await bot.perform(
                    type="stream_chunk", session_id=session, sequence=sequence, content=content
                )
                await bot.until("ack")
        await bot.perform(type="stream_end", session_id=read, total_chunks=150)
        began = asyncio.get_running_loop().time()
        assert len((await ask).text) > 150 * 15_000
        assert asyncio.get_running_loop().time() - began < 5.0
        while web.readers(stalled) > 0:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        assert web.responder.open_count == 0


async def test_a_bot_that_never_reads_is_let_go_at_its_bound(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others have to tell it gathers, up to the bound; then it is gone, and so is that."""
    monkeypatch.setattr(outbox_module, "CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr("relay.web.cable_socket.CLOSE_TIMEOUT_S", 0.1)
    async with asyncio.timeout(TIMEOUT_S), asked(web, UPGRADE, buffer=4_096) as (reader, writer):
        await reader.readuntil(b"confirm_subscription")
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001
        text: JsonValue = [
            {"role": "user", "type": "text", "text": "y" * 60_000, "image_url": None}
        ]
        asking = []
        while await web.node.is_online(1):
            asking.append(asyncio.create_task(web.ask(message=text)))
            await asyncio.sleep(0.01)
            assert len(asking) < 90
        for one in asking:
            one.cancel()
        for one in asking:
            with suppress(asyncio.CancelledError):
                await one
        # Each is somewhat longer than its text.
        assert len(asking) * 62_000 > MEBIBYTE
        writer.transport.abort()
