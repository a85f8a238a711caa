from __future__ import annotations

import asyncio

import pytest

from relay.doctor.http1 import Reply, Unreachable, fetch
from relay.errors import BadRequest
from tests.support.canned import canned, serving


async def get(url: str, timeout_s: float = 5.0) -> Reply:
    """One request, in a thread as the doctor makes it."""
    return await asyncio.to_thread(lambda: fetch(url, timeout_s=timeout_s))


async def test_an_answer_is_read_with_its_headers() -> None:
    """Status, headers by lower-case names, the whole body."""
    async with canned(
        b"HTTP/1.1 201 Made\r\nX-Said: This\r\nContent-Length: 3\r\n\r\n", b"abc"
    ) as url:
        reply = await get(f"{url}/path?query=1")
    assert (reply.status, reply.headers["x-said"], reply.body) == (201, "This", b"abc")
    assert len(reply.arrivals) == 1
    assert reply.spread_s == 0.0


async def test_each_piece_of_an_answer_is_timed() -> None:
    """The second piece is sent once the first was seen, so between the two lies our wait."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    async with serving(handle) as url:
        reply = await get(url)
    assert reply.body == b"ab"
    assert len(reply.arrivals) == 2
    assert reply.spread_s > 0.03


async def test_what_is_sent_arrives() -> None:
    """Method, path, headers, body."""
    seen = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(await reader.readuntil(b"question"))
        writer.write(b"HTTP/1.1 204 None\r\n\r\n")

    async with serving(handle) as url:
        reply = await asyncio.to_thread(
            lambda: fetch(f"{url}/ask", method="POST", headers={"X-Key": "k"}, body=b"question")
        )
    sent: bytes = await seen
    assert reply.arrivals == ()
    assert sent.startswith(b"POST /ask HTTP/1.1\r\n")
    assert b"X-Key: k\r\n" in sent


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"]
)
async def test_what_is_no_answer_is_told(said: bytes) -> None:
    """Nothing, something else, or half of one."""
    async with canned(said) as url:
        with pytest.raises(Unreachable):
            await get(url)


async def test_silence_is_not_waited_for_for_ever() -> None:
    """A server that takes the request and says nothing."""
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async with serving(handle) as url:
        with pytest.raises(Unreachable, match="timed out"):
            await get(url, timeout_s=0.05)
        await gone.wait()


@pytest.mark.parametrize("url", ["relay.example", "ftp://relay.example", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """With an example of one."""
    with pytest.raises(BadRequest, match=r"https://relay\.example"):
        fetch(url)


def test_nobody_there_is_told() -> None:
    """Port 1 of this machine."""
    with pytest.raises(Unreachable, match="refused"):
        fetch("http://127.0.0.1:1")
