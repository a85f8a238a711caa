"""One read full of the smallest frames, on the fast path: it holds nobody up."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.web.fakes import Served, answer, serving, texts

READ = 262_144
"""What one read of a socket brings."""

END = b"\r\n\r\n"
UPGRADE = (
    b"GET /cable?sdk_token=token-2 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TURN_S = 0.4
"""The most that one turn of the loop may take on a busy machine; without portions it is 0.5 to 40 s
on an idle one."""

FLOOD_S = 1.0
NO_MASK = bytes(4)


async def worst_turn(done: asyncio.Task[bool]) -> float:
    """Turn the loop until this is done; returns how long the longest turn was."""
    loop, worst = asyncio.get_running_loop(), 0.0
    while not done.done():
        before = loop.time()
        await asyncio.sleep(0)
        worst = max(worst, loop.time() - before)
    return worst


async def flood(port: int, piece: bytes) -> bool:
    """Connect as a bot and send four reads full of this; returns whether the relay closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE)
    await reader.readuntil(END)
    await asyncio.sleep(0.02)  # until the socket is claimed
    try:
        async with asyncio.timeout(FLOOD_S):
            for _ in range(4):
                writer.write(piece * (READ // len(piece)))
                await writer.drain()
            while await reader.read(65_536):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    finally:
        writer.transport.abort()
    return True


@pytest.mark.parametrize(
    ("piece", "closed"),
    [
        (b"\x89\x80" + NO_MASK, True),
        (b"\x8a\x80" + NO_MASK, True),
        (b"\x00\x80" + NO_MASK, True),
        (b"\x81\x80" + NO_MASK, False),
        (b"\x81\x82" + NO_MASK + b"{}", False),
        (b"\x82\x80" + NO_MASK, False),
    ],
    ids=["pings", "pongs", "fragments of nothing", "empty frames", "frames", "binary"],
)
async def test_a_flood_holds_nobody_up(piece: bytes, closed: bool) -> None:
    """Also where it goes on behind our close: we wait a while for an answer to that."""
    async with serving() as web:
        flooding = asyncio.create_task(flood(web.port, piece))
        assert await worst_turn(flooding) < TURN_S
        assert not closed or flooding.result()
        await still_serves(web)


async def still_serves(web: Served) -> None:
    """Another bot answers as if nothing had happened."""
    async with web.bot() as bot:
        asking = asyncio.create_task(web.ask())
        command = await bot.until("execute_command")
        metadata = command["metadata"]
        assert isinstance(metadata, dict)
        await answer(bot, str(metadata["session_id"]), "still", " here")
        assert texts((await asking).text)[:2] == ["still", " here"]
