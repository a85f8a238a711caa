from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.web.binding import fetch
from relay.web.binding.fetch import PhotoFetcher, dialer, resolve_host
from relay.web.binding.photo import BYTES_MAX, PhotoRefused

PUBLIC = "203.119.25.1"
URL = "https://cdn.example/photos/1.webp?sign=abc"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/webp\r\n"


@dataclass(slots=True)
class Net:
    """A resolver of a few names, and a server on this machine behind every address that is dialled.

    `connections` counts what the server has really accepted.
    """

    answer: bytes | Callable[[asyncio.StreamWriter], object] = (
        HEAD + b"Content-Length: 5\r\n\r\nphoto"
    )
    names: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    """Each time a name is asked for, the next answer; the last one stays."""
    asked: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int, str]] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    dead: set[str] = field(default_factory=set)
    port: int = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """As the system would, from `names`; all others are public."""
        self.asked.append(host)
        answers = self.names.get(host, [[PUBLIC]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def dial(
        self, address: str, port: int, host: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server, whatever the address."""
        self.dialled.append((address, port, host))
        if address in self.dead:
            raise ConnectionRefusedError
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.connections += 1
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if callable(self.answer):
                await asyncio.ensure_future(self.answer(writer))  # type: ignore[call-overload]
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def fetch(self, url: str = URL) -> bytes:
        """Load a photo through this net."""
        return await PhotoFetcher(resolve=self.resolve, dial=self.dial).fetch(url)


@asynccontextmanager
async def net(**given: object) -> AsyncIterator[Net]:
    """A net whose server listens."""
    found = Net(**given)  # type: ignore[arg-type]
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found
        server.close()


async def test_a_photo_is_loaded_from_the_address_that_was_resolved() -> None:
    """Once resolved, then dialled by number; the name is for the certificate and the server."""
    async with net() as web:
        assert await web.fetch() == b"photo"
    assert web.asked == ["cdn.example"]
    assert web.dialled == [(PUBLIC, 443, "cdn.example")]
    request = web.requests[0]
    assert request.startswith(b"GET /photos/1.webp?sign=abc HTTP/1.1\r\n")
    assert b"\r\nhost: cdn.example\r\n" in request.lower()
    assert b"cookie" not in request.lower()
    assert b"authorization" not in request.lower()


REFUSED = [
    "127.0.0.1",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[fd00::1]",
    "2130706433",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "127.1",
    "127.0.0.1.",
]


@pytest.mark.parametrize("host", REFUSED)
async def test_an_address_of_ones_own_network_is_never_dialled(host: str) -> None:
    """In none of its spellings: the server of this machine sees no connection."""

    async def resolve(name: str, port: int) -> Sequence[str]:
        return await resolve_host(name, port)

    async with net() as web:
        fetcher = PhotoFetcher(resolve=resolve, dial=web.dial)
        with pytest.raises(PhotoRefused):
            await fetcher.fetch(f"https://{host}/1.png")
        assert (web.dialled, web.connections) == ([], 0)


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::a00:1"],
        ["fe80::1%eth0"],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [],
    ],
)
async def test_a_name_that_leads_inside_is_never_dialled(answer: list[str]) -> None:
    """One such address among several is enough."""
    async with net(names={"inside.example": [answer]}) as web:
        with pytest.raises(PhotoRefused):
            await web.fetch("https://inside.example/1.png")
        assert (web.dialled, web.connections) == ([], 0)


async def test_a_name_that_changes_its_answer_is_asked_once() -> None:
    """DNS rebinding: what was looked at is what is dialled."""
    names = {"rebind.example": [[PUBLIC], ["127.0.0.1"]]}
    async with net(names=names) as web:
        assert await web.fetch("https://rebind.example/1.png") == b"photo"
        assert web.asked == ["rebind.example"]
        assert [address for address, _, _ in web.dialled] == [PUBLIC]
        with pytest.raises(PhotoRefused):
            await web.fetch("https://rebind.example/1.png")
        assert web.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """Wherever it leads; the one connection is the one to the public server."""
    async with net() as web:
        inside = f"https://127.0.0.1:{web.port}/secret"
        web.answer = f"HTTP/1.1 {status} Moved\r\nLocation: {inside}\r\n\r\n".encode()
        with pytest.raises(PhotoRefused, match=str(status)):
            await web.fetch()
        assert web.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example/1.png",
        "ftp://cdn.example/1.png",
        "file:///etc/passwd",
        "gopher://cdn.example/",
        "//cdn.example/1.png",
        "cdn.example/1.png",
        "",
        "https://",
        "https:///1.png",
        "https://user@cdn.example/1.png",
        "https://user:password@cdn.example/1.png",
        "https://@cdn.example/1.png",
        "https://cdn.example:22/",
        "https://cdn.example:80/",
        "https://cdn.example:6379/",
        "https://cdn.example:99999/",
        "https://cdn.example:x/",
        "https://cdn.example /1.png",
        "https://cdn.example/1.png\r\nHost: inside",
        "https://cdn.example/1.png\n",
        "https://cdn_x.example/",
        "https://例.example/",
        "https://-cdn.example/",
        "https://cdn.example%2f@inside/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://cdn.example\\@inside/",
        "https://cdn.example/" + "x" * fetch.URL_CHARS_MAX,
    ],
)
async def test_any_other_url_is_refused_before_a_name_is_asked_for(url: str) -> None:
    """No other scheme or port, no credentials, no characters that parsers disagree about."""
    async with net() as web:
        with pytest.raises(PhotoRefused) as caught:
            await web.fetch(url)
        assert (web.asked, web.dialled, web.connections) == ([], [], 0)
    assert "password" not in caught.value.reason


async def test_the_reason_never_holds_the_url() -> None:
    """It is signed: whoever reads it in a log could load the photo."""
    async with net(answer=b"HTTP/1.1 404 Not Found\r\n\r\n") as web:
        with pytest.raises(PhotoRefused) as caught:
            await web.fetch()
    assert "cdn.example" not in caught.value.reason
    assert "sign" not in caught.value.reason


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 5242881\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999\r\n\r\n",
        HEAD + b"\r\n" + b"x" * (BYTES_MAX + 1),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"500001\r\n" + b"x" * 0x500001 + b"\r\n",
    ],
    ids=["stated", "absurd", "unstated", "chunked"],
)
async def test_a_huge_photo_is_refused(answer: bytes) -> None:
    """By what it says, or at the first byte too many."""
    async with net(answer=answer) as web:
        with pytest.raises(PhotoRefused, match="too large"):
            await web.fetch()


async def test_a_photo_that_never_ends_is_given_up() -> None:
    """Memory stays bounded, and the connection is cut."""
    cut = asyncio.Event()

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        finally:
            cut.set()

    async with net(answer=pour) as web:
        with pytest.raises(PhotoRefused, match="too large"):
            await web.fetch()
        await asyncio.wait_for(cut.wait(), 5)


async def test_a_slow_photo_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not keep it going: the time is for all of it."""
    monkeypatch.setattr(fetch, "FETCH_S", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with net(answer=drip) as web:
        began = time.monotonic()
        with pytest.raises(PhotoRefused, match="too long"):
            await web.fetch()
        assert time.monotonic() - began < 3


async def test_a_slow_name_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is within the time, too."""
    monkeypatch.setattr(fetch, "FETCH_S", 0.05)

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    async with net() as web:
        with pytest.raises(PhotoRefused, match="too long"):
            await PhotoFetcher(resolve=never, dial=web.dial).fetch(URL)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nphoto",
        HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\n\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_refused(answer: bytes) -> None:
    """Torn, compressed, endless headers, or not HTTP at all."""
    async with net(answer=answer) as web:
        with pytest.raises(PhotoRefused):
            await web.fetch()


async def test_a_second_address_is_tried_and_no_third() -> None:
    """The first one of a name may be down."""
    addresses = [PUBLIC, "203.119.25.2", "203.119.25.3"]
    async with net(names={"cdn.example": [addresses]}, dead={PUBLIC}) as web:
        assert await web.fetch() == b"photo"
        assert [address for address, _, _ in web.dialled] == addresses[:2]
    async with net(names={"cdn.example": [addresses]}, dead=set(addresses)) as web:
        with pytest.raises(PhotoRefused, match="ConnectionRefusedError"):
            await web.fetch()
        assert [address for address, _, _ in web.dialled] == addresses[:2]


async def test_a_name_that_no_server_knows_is_refused() -> None:
    """As any other failure; and one that cannot be a name at all."""

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    async with net() as web:
        with pytest.raises(PhotoRefused, match="OSError"):
            await PhotoFetcher(resolve=unknown, dial=web.dial).fetch(URL)
        fetcher = PhotoFetcher(resolve=resolve_host, dial=web.dial)
        with pytest.raises(PhotoRefused):
            await fetcher.fetch(f"https://{'x' * 70}.example/")


async def test_an_address_is_resolved_to_itself() -> None:
    """Each once, although the system lists it per kind of socket."""
    assert list(await resolve_host("127.0.0.1", 443)) == ["127.0.0.1"]


@pytest.mark.needs("openssl")
async def test_the_certificate_must_be_that_of_the_name(tmp_path: Path) -> None:
    """The address is dialled, the name is proved: another name's certificate is refused."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=cdn.example"]
    command += ["-addext", "subjectAltName=DNS:cdn.example"]
    subprocess.run(  # noqa: ASYNC221 - it takes milliseconds
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    trusted = ssl.create_default_context(cafile=str(certificate))
    found = Net()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    dial = dialer(trusted)

    async def nearby(
        _address: str, _port: int, host: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await dial("127.0.0.1", port, host)

    async with server:
        fetcher = PhotoFetcher(resolve=found.resolve, dial=nearby)
        assert await fetcher.fetch(URL) == b"photo"
        with pytest.raises(PhotoRefused, match="SSLCertVerificationError"):
            await fetcher.fetch("https://other.example/1.png")
        untrusting = dialer()
        with pytest.raises(ssl.SSLCertVerificationError):
            await untrusting("127.0.0.1", port, "cdn.example")
        server.close()
