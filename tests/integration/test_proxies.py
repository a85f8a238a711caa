from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.bots import RawBot, raw_bot, stream_of
from tests.support.glasses import Answer, Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.proxies import KINDS, Proxy, buffered, put, running_proxy
from tests.support.redis import RedisServer, own_redis
from tests.support.server import RelayServer, Seed, running

__all__ = ["own_redis"]

TURN = load_incident()[1]
PLANTED_S = 2.0
"""How long what never comes is waited for; a slow machine cannot make these tests fail."""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A hang-up is told soon; only one foreign page may open a socket."""
    return {"hangup_grace_seconds": "0.1", "allowed_origins": "https://console.example"}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which proxy."""
    return str(request.param)


@pytest.fixture(scope="module")
def proxy(
    kind: str, shared_relay: RelayServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """The proxy of the module's relay, as deploy/ has it."""
    with running_proxy(kind, tmp_path_factory.mktemp(kind), [shared_relay.port]) as running:
        yield running


@pytest.fixture
def front(proxy: Proxy, relay: RelayServer) -> RelayServer:
    """The relay as it is seen through the proxy."""
    return proxy.before(relay)


def glasses_of(front: RelayServer) -> Glasses:
    """The glasses behind this proxy."""
    return Glasses(front.url, front.key)


async def asked(bot: RawBot, answer: Answer) -> str:
    """Return the stream of this answer, once the bot is asked for it.

    A bot that comes is first asked again what none has answered: of a test before, where the proxy
    still holds that device's connection.
    """
    number = 0
    while (stream_id := stream_of(await bot.command(number))) != answer.stream_id:
        number += 1
    return stream_id


# --- the stories, which planted errors must fail --------------------------------------------------


async def in_lockstep(front: RelayServer, bot: RawBot) -> None:
    """Each chunk is read by the device before the bot sends the next one."""
    async with glasses_of(front).ask(question(front.bot().user_id)) as answer:
        stream_id = await asked(bot, answer)
        for sequence, content in enumerate(TURN.chunks):
            await bot.chunk(stream_id, sequence, content)
            await answer.until(lambda answer: len(answer.pieces) > sequence)  # noqa: B023
        await bot.end(stream_id, TURN.chunks)
        await answer.read()
    assert_finished(answer)
    assert answer.pieces == list(TURN.chunks)


async def hung_up(front: RelayServer, bot: RawBot) -> None:
    """The device leaves in mid-answer, and the bot is told to stop."""
    async with glasses_of(front).ask(question(front.bot().user_id)) as answer:
        stream_id = await asked(bot, answer)
        await bot.chunk(stream_id, 0, "x")
        await answer.until(lambda answer: bool(answer.pieces))
    told = await bot.cable.wait_message("cancel_command", session_id=stream_id)
    assert told["reason"] == "device_gone"


async def test_chunks_arrive_one_by_one(front: RelayServer) -> None:
    """A bot by WebSocket and a device by SSE, both through the proxy: nothing is buffered."""
    async with raw_bot(front) as bot:
        await in_lockstep(front, bot)


async def test_a_hang_up_reaches_the_relay(front: RelayServer) -> None:
    """The proxy lets go of the relay when its client goes."""
    async with raw_bot(front) as bot:
        await hung_up(front, bot)


async def test_a_proxy_that_buffers_is_found_out(
    kind: str, relay: RelayServer, tmp_path: Path
) -> None:
    """With buffering on, the first chunk does not come: so the test above can fail."""
    with running_proxy(kind, tmp_path, [relay.port], buffered) as wrong:
        # The bot goes straight to the relay: with these errors no WebSocket comes through, either.
        async with raw_bot(relay) as bot:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(PLANTED_S):
                    await in_lockstep(wrong.before(relay), bot)


@pytest.mark.needs("caddy")
async def test_a_caddy_with_flush_interval_keeps_the_hang_up_to_itself(
    relay: RelayServer, tmp_path: Path
) -> None:
    """What many guides advise for SSE: the bot answers on for nobody."""

    def wrong(text: str) -> str:
        return put(text, "\t\tlb_policy", "\t\tflush_interval -1\n\t\tlb_policy")

    with running_proxy("caddy", tmp_path, [relay.port], wrong) as proxy:
        front = proxy.before(relay)
        async with raw_bot(front) as bot:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(PLANTED_S):
                    await hung_up(front, bot)


# --- the other ways in ----------------------------------------------------------------------------


async def test_a_reader_resumes_through_the_proxy(front: RelayServer) -> None:
    """`GET /streams/{id}/events` behind a position: the rest, live, and then a 204."""
    glasses = glasses_of(front)
    authorization = f"Bearer {front.key}"
    async with raw_bot(front) as bot, glasses.ask(question(front.bot().user_id)) as answer:
        stream_id = await asked(bot, answer)
        await bot.chunks(stream_id, TURN.chunks[:30])
        url = f"/streams/{answer.stream_id}/events"
        async with glasses.follow(url, Authorization=authorization) as first:
            await first.until(lambda first: len(first.events) == 30)
        position = first.events[19].id
        async with glasses.follow(
            url, Authorization=authorization, Last_Event_ID=position
        ) as second:
            await second.until(lambda second: len(second.events) == 10)
            for sequence in range(30, 60):
                await bot.chunk(stream_id, sequence, TURN.chunks[sequence])
                await second.until(lambda second: len(second.events) > sequence - 20)  # noqa: B023
            await bot.end(stream_id, TURN.chunks)
            await second.read()
        last = second.events[-1].id
        async with glasses.follow(url, Authorization=authorization, Last_Event_ID=last) as third:
            await third.read()
    pieces = [e.data["content"] for e in second.events if e.data["type"] == "stream_chunk"]
    assert pieces == list(TURN.chunks[20:])
    assert third.status == 204


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [("http://{own}", True), ("https://console.example", True), ("https://evil.example", False)],
)
async def test_the_relay_knows_its_own_origin_behind_the_proxy(
    front: RelayServer, origin: str, welcome: bool
) -> None:
    """The proxy hands the Host on with its port, so a page of the relay's own is let in."""
    own = f"127.0.0.1:{front.port}"
    headers = {"Origin": origin.format(own=own)}
    async with connect(
        front.bot_url(), additional_headers=headers, compression=None, proxy=None
    ) as socket:
        assert ('"welcome"' in str(await socket.recv())) is welcome


async def test_a_question_that_is_too_large_is_answered_by_the_relay(front: RelayServer) -> None:
    """In words, with HTTP 200: a 413 of the proxy would leave the glasses thinking for ever."""
    body = question(front.bot().user_id, filler="x" * 1_200_000)
    answer = await glasses_of(front).ask_and_read(body)
    assert (answer.status, answer.headers["relay-error"]) == (200, "limit_reached")
    assert answer.finishes == ["message", "done"]


async def test_the_proxy_itself_refuses_what_is_larger_still(kind: str, tmp_path: Path) -> None:
    """Nobody fills its disk, or the memory of what stands behind it and would take all of it."""
    whole: list[int] = []
    writers: list[asyncio.StreamWriter] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
            await reader.readexactly(length)
            whole.append(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with running_proxy(kind, tmp_path, [port]) as proxy:
            url = f"http://127.0.0.1:{proxy.port}/sse/rokid"
            async with httpx.AsyncClient(trust_env=False) as client:
                taken = await client.post(url, content=b"x" * 1_900_000)
                refused = await client.post(url, content=b"x" * 3_000_000)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # their sockets are closed in the next pass
    assert taken.status_code == 200
    # Caddy 2.6 cuts the body off and calls what follows a bad gateway.
    assert refused.status_code in {413, 502}
    assert max(whole) == 1_900_000


async def test_metrics_are_not_for_the_outside(front: RelayServer, relay: RelayServer) -> None:
    """The relay has them, the proxy does not."""
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{relay.url}/metrics")).status_code == 200
        assert (await client.get(f"{front.url}/metrics")).status_code == 404


# --- relays that come and go ----------------------------------------------------------------------


async def test_a_relay_that_restarts_behind_the_proxy_is_found_again(
    kind: str, own_relay: RelayServer, tmp_path: Path
) -> None:
    """A kill ends what was open; afterwards bots and devices are served as before."""
    own_relay.start()
    with running_proxy(kind, tmp_path / kind, [own_relay.port]) as proxy:
        front = proxy.before(own_relay)
        async with raw_bot(front) as bot:
            async with glasses_of(front).ask(question(front.bot().user_id)) as answer:
                stream_id = await asked(bot, answer)
                await bot.chunk(stream_id, 0, "x")
                await answer.until(lambda answer: bool(answer.pieces))
                own_relay.kill()
                # Caddy 2.6 ends the response in good order, so it is the finish that tells.
                with suppress(httpx.TransportError):
                    await answer.read()
            assert answer.finishes == []
            await bot.cable.wait_closed()
        own_relay.start()
        async with raw_bot(front) as bot:
            await in_lockstep(front, bot)


async def test_a_relay_that_takes_no_connection_is_passed_over(
    kind: str, relay: RelayServer, tmp_path: Path
) -> None:
    """Of two nodes one is down: every bot and every question reaches the other."""
    async with silent_upstream() as gone:
        pass
    with running_proxy(kind, tmp_path, [gone.port, relay.port]) as proxy:
        front = proxy.before(relay)
        for _ in range(4):
            async with raw_bot(front) as bot:
                await in_lockstep(front, bot)


def established(port: int) -> int:
    """How many connections a server on this port has."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.needs("redis-server")
async def test_two_relays_that_share_redis_are_one_behind_the_proxy(
    kind: str, seed: Seed, tmp_path: Path, own_redis: RedisServer
) -> None:
    """The bot is at one of them, devices are at both, and every device reads as it is written."""
    with running(seed, tmp_path / "one", broker_url=own_redis.url) as one:
        shared = f"sqlite+aiosqlite:///{one.database}"
        with (
            running(
                seed, tmp_path / "other", broker_url=own_redis.url, database_url=shared
            ) as other,
            running_proxy(kind, tmp_path / kind, [one.port, other.port]) as proxy,
        ):
            front = proxy.before(one)
            async with raw_bot(front) as bot, AsyncExitStack() as opened:
                answers = []
                for number in range(4):
                    asking = glasses_of(front).ask(question(front.bot().user_id))
                    answers.append(await opened.enter_async_context(asking))
                    stream_id = stream_of(await bot.command(number))
                    assert stream_id == answers[-1].stream_id
                assert min(established(one.port), established(other.port)) >= 2
                for sequence, content in enumerate(TURN.chunks[:10]):
                    for answer in answers:
                        await bot.chunk(answer.stream_id, sequence, content)
                        await answer.until(lambda answer: len(answer.pieces) > sequence)  # noqa: B023
                for answer in answers:
                    await bot.end(answer.stream_id, TURN.chunks[:10])
                    assert_finished(await answer.read())


# --- what the relay is sent -----------------------------------------------------------------------


@dataclass(slots=True)
class Upstream:
    """A server that keeps what it was asked, and hangs up without an answer."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    def posts(self) -> list[str]:
        """The heads of the questions, without the proxy's own look at its health."""
        return [head for head in self.asked if head.startswith("POST ")]


@asynccontextmanager
async def silent_upstream() -> AsyncIterator[Upstream]:
    """Listen in the relay's place."""
    upstream = Upstream()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        upstream.asked.append(head)
        if head.startswith("GET /healthz"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        upstream.port = server.sockets[0].getsockname()[1]
        yield upstream


async def ask_in_vain(kind: str, folder: Path, change: tuple[str, str] = ("", "")) -> list[str]:
    """Ask two relays that hang up on every question; returns the heads that they got."""
    async with silent_upstream() as one, silent_upstream() as other:
        nodes = [one.port, other.port]
        with running_proxy(kind, folder, nodes, lambda text: put(text, *change)) as proxy:
            async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
                url = f"http://127.0.0.1:{proxy.port}/sse/rokid"
                forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "gopher"}
                answer = await client.post(url, content=b"{}", headers=forged)
        assert answer.status_code == 502
        return one.posts() + other.posts()


async def test_a_question_is_never_asked_twice(kind: str, tmp_path: Path) -> None:
    """A relay that hangs up on a POST may have begun to answer it: no other one is asked."""
    assert len(await ask_in_vain(kind, tmp_path)) == 1


async def test_the_relay_is_told_who_calls_and_not_what_the_caller_claims(
    kind: str, tmp_path: Path
) -> None:
    """What RELAY_TRUSTED_PROXIES believes cannot be forged from outside."""
    (head,) = await ask_in_vain(kind, tmp_path)
    told = [line for line in head.lower().split("\r\n") if line.startswith("x-forwarded-")]
    assert {"x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"} <= set(told)
    assert "192.0.2.66" not in head


@pytest.mark.needs("nginx")
async def test_an_nginx_that_repeats_questions_is_found_out(tmp_path: Path) -> None:
    """With `non_idempotent` both relays are asked: so the test above can fail."""
    wrong = ("proxy_next_upstream error timeout;", "proxy_next_upstream error non_idempotent;")
    assert len(await ask_in_vain("nginx", tmp_path, wrong)) == 2
