from __future__ import annotations

import asyncio
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from relay_sdk.errors import UsageError
from relay_sdk.fetch import BODY_BYTES_MAX, ConnectFailed, Response, Server, fetch, read_url
from relay_sdk.http1 import MalformedResponse
from tests.support.fake_http import Exchange, FakeHttp


async def get(
    server: FakeHttp, path: str = "/", *, stale_s: float = 10.0, body: bytes | None = None
) -> asyncio.Task[Response]:
    """Begin a request."""
    method = "GET" if body is None else "POST"
    where = read_url(server.url)
    coroutine = fetch(
        where, method, path, headers={"X-A": "1"}, body=body, open_timeout_s=5.0, stale_s=stale_s
    )
    return asyncio.create_task(coroutine)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://relay.test", Server("relay.test", 80, False, "", "relay.test")),
        ("https://relay.test/", Server("relay.test", 443, True, "", "relay.test")),
        ("ws://h:8080/cable", Server("h", 8080, False, "", "h:8080")),
        ("wss://h/a/cable/", Server("h", 443, True, "/a", "h")),
        ("https://h:1/a/b/", Server("h", 1, True, "/a/b", "h:1")),
        ("http://user:secret@[::1]:80", Server("::1", 80, False, "", "[::1]:80")),
    ],
)
def test_a_url_may_have_any_form_that_a_bot_takes(url: str, server: Server) -> None:
    """With or without /cable, a path in front, as WebSocket or as HTTP."""
    assert read_url(url) == server


@pytest.mark.parametrize("url", ["", "relay.test", "ftp://h", "http://", "http://h:port"])
def test_another_url_is_a_mistake_that_is_explained(url: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(UsageError, match="http://127"):
        read_url(url)


async def test_a_request_is_sent_and_its_response_streamed() -> None:
    """Each piece is there when it was sent, and the end when it came."""
    async with FakeHttp() as server:
        asking = await get(server, "/a?b", body=b"{}")
        exchange = await server.next()
        assert (exchange.method, exchange.target, exchange.body) == ("POST", "/a?b", b"{}")
        assert exchange.headers["host"] == f"127.0.0.1:{server.port}"
        assert exchange.headers["connection"] == "close"
        assert exchange.headers["x-a"] == "1"
        await exchange.start_events()
        response = await asking
        assert (response.status, response.media_type) == (200, "text/event-stream")
        assert await response.read() == b": stream s1\n\n"
        await exchange.piece(b"more")
        assert await response.read() == b"more"
        await exchange.finish()
        assert await response.read() == b""
        response.close()


async def test_a_cancelled_read_loses_nothing() -> None:
    """A program that waits with a timeout and reads again has every byte."""
    async with FakeHttp() as server:
        asking = await get(server)
        exchange = await server.next()
        await exchange.start_events()
        response = await asking
        assert await response.read()
        reading = asyncio.create_task(response.read())
        await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await exchange.piece(b"all of it")
        assert await response.read() == b"all of it"
        response.close()


async def test_closing_hangs_up_at_once_and_wakes_the_reader() -> None:
    """The server sees the end, and so does whoever waits for the next piece."""
    async with FakeHttp() as server:
        asking = await get(server)
        exchange = await server.next()
        await exchange.start_events()
        response = await asking
        assert await response.read()
        reading = asyncio.create_task(response.read())
        await asyncio.sleep(0)
        response.close()
        with pytest.raises(MalformedResponse, match="broke off"):
            await reading
        await exchange.gone()


async def test_a_server_that_falls_silent_is_noticed() -> None:
    """Before the head and within the body."""
    async with FakeHttp() as server:
        asking = await get(server, stale_s=0.05)
        with pytest.raises(TimeoutError):
            await asking
        await (await server.next()).gone()
        asking = await get(server, stale_s=0.05)
        await (await server.next()).start_events()
        response = await asking
        assert await response.read()
        with pytest.raises(TimeoutError):
            await response.read()
        response.close()


async def test_a_server_that_is_not_there_is_told_apart() -> None:
    """Nothing was sent then, and the question may be asked again."""
    async with FakeHttp() as server:
        where = read_url(server.url)
    with pytest.raises(ConnectFailed):
        await fetch(where, "GET", "/", headers={}, open_timeout_s=5.0, stale_s=5.0)


async def test_a_response_that_is_none_hangs_up() -> None:
    """The connection is not left open behind an error."""
    async with FakeHttp() as server:
        asking = await get(server)
        exchange = await server.next()
        await exchange.send(b"220 mail.test ESMTP\r\n\r\n\r\n")
        with pytest.raises(MalformedResponse):
            await asking
        await exchange.gone()


async def test_a_connection_that_breaks_before_the_head_is_an_error() -> None:
    """Nobody knows then whether the request was taken."""
    async with FakeHttp() as server:
        asking = await get(server)
        (await server.next()).cut()
        with pytest.raises((ConnectionError, MalformedResponse)):
            await asking


async def test_a_whole_body_has_a_limit() -> None:
    """A relay's JSON is small; whatever sends more is none."""
    async with FakeHttp() as server:
        asking = await get(server)
        exchange = await server.next()
        await exchange.start_events()
        response = await asking
        reading = asyncio.create_task(response.read_all())
        with suppress(ConnectionError):
            while not reading.done():
                await exchange.piece(b"x" * (BODY_BYTES_MAX // 4))
        with pytest.raises(MalformedResponse, match="larger"):
            await reading


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key in the same file."""
    pem = tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    more = f"-addext subjectAltName=IP:127.0.0.1 -keyout {pem}.key -out {pem}.crt"
    subprocess.run([*make.split(), *more.split()], check=True, capture_output=True)
    pem.write_text(Path(f"{pem}.key").read_text() + Path(f"{pem}.crt").read_text())
    return pem


@pytest.mark.needs("openssl")
async def test_https_is_encrypted_and_checked(certificate: Path) -> None:
    """With the right certificate the request arrives; without it nothing is sent."""
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate)
    async with FakeHttp(ours) as server:
        where = read_url(server.url)
        with pytest.raises(ConnectFailed, match="certificate"):
            await fetch(where, "GET", "/", headers={}, open_timeout_s=5.0, stale_s=5.0)
        trusting = ssl.create_default_context(cafile=str(certificate))
        coroutine = fetch(
            where, "GET", "/", headers={}, open_timeout_s=5.0, stale_s=5.0, tls=trusting
        )
        asking = asyncio.create_task(coroutine)
        exchange: Exchange = await server.next()
        await exchange.answer(200, {"a": 1})
        assert await (await asking).read_all() == b'{"a": 1}'
