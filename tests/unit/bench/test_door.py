"""The TCP proxy of the bench and of the fault matrix: it does what it is told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from bench.door import Door

LONG = b"x" * 4_000_000
"""More than the kernel and asyncio keep for a reader that has not come yet."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say everything again."""
    while data := await reader.read(100):
        writer.write(data)


async def long_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read to the end of the question, and only then answer."""
    await reader.read()
    writer.write(LONG)


@asynccontextmanager
async def behind_a_door(serve: Serve = echo) -> AsyncIterator[Door]:
    """A server with a door before it; in the end every socket is closed."""
    serving: set[asyncio.Task[None] | None] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(OSError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server, asyncio.timeout(10), Door(server.sockets[0].getsockname()[1]) as door:
        yield door
    await asyncio.gather(*filter(None, serving))


@asynccontextmanager
async def connected(
    door: Door,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def ask(door: Door, text: bytes) -> bytes:
    """Say something on a connection of its own; returns what comes back, nothing where it broke."""
    async with connected(door) as (reader, writer):
        with suppress(ConnectionError):
            writer.write(text)
            return await reader.read(100)
    return b""


async def test_what_is_held_is_lost_by_a_cut() -> None:
    """Bytes pass, are held, and never come; a new connection passes again."""
    async with behind_a_door() as door:
        async with connected(door) as (reader, writer):
            writer.write(b"one")
            assert await reader.read(100) == b"one"
            door.hold()
            writer.write(b"two")
            await writer.drain()
            door.cut()
            with suppress(ConnectionError):
                assert await reader.read(100) == b""
        door.release()
        assert await ask(door, b"three") == b"three"


async def test_what_is_held_passes_when_it_is_released() -> None:
    """In between nothing does, whatever time passes."""
    async with behind_a_door() as door:
        door.hold()
        waiting = asyncio.create_task(ask(door, b"one"))
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        door.release()
        assert await waiting == b"one"


async def test_a_goodbye_is_held_as_well() -> None:
    """A network that drops packets tells nobody of an end."""
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await reader.read(100)
        ended.set()

    async with behind_a_door(listen) as door:
        async with connected(door) as (reader, writer):
            writer.write(b"one")
            assert await reader.read(100) == b"one"
            door.hold()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.05)
        door.release()
        await ended.wait()


async def test_a_locked_door_breaks_every_connection_until_it_is_unlocked() -> None:
    """Those that are there, and those that come."""
    async with behind_a_door() as door:
        async with connected(door) as (reader, writer):
            writer.write(b"one")
            assert await reader.read(100) == b"one"
            door.lock()
            with suppress(ConnectionError):
                assert await reader.read(100) == b""
        assert await ask(door, b"two") == b""
        door.unlock()
        assert await ask(door, b"three") == b"three"


async def test_the_reply_to_one_request_is_swallowed() -> None:
    """The request has passed; its connection breaks, and no other one."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append(data)
            writer.write(data)

    async with behind_a_door(hear) as door:
        door.swallow_reply_to(b"wo")
        assert await ask(door, b"one") == b"one"
        assert await ask(door, b"two") == b""
        assert await ask(door, b"two") == b"two"
        assert door.swallowed == 1
    assert heard == [b"one", b"two", b"two"]


async def test_an_answer_comes_whole_behind_the_end_of_its_question() -> None:
    """Each direction ends by itself, and the last bytes are not dropped with the connection."""
    async with behind_a_door(long_answer) as door, connected(door) as (reader, writer):
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read() == LONG


async def test_a_server_that_is_not_there_is_a_broken_connection() -> None:
    """And a door that is pointed elsewhere finds the other one."""
    async with behind_a_door() as door:
        there, door.there = door.there, 1
        assert await ask(door, b"one") == b""
        door.there = there
        assert await ask(door, b"one") == b"one"
