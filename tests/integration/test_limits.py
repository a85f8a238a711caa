"""What one caller may have, on a real relay: the others notice nothing of who wants more."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from relay.limits.bucket import BURST_S
from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.server import RelayServer, Seed, running

SOCKETS = 2
RATE = 500

HOLDER = """
import asyncio, sys
from websockets.asyncio.client import connect

async def hold():
    sockets = [await connect(sys.argv[1], proxy=None) for _ in range(int(sys.argv[2]))]
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Limits that a test can reach."""
    return {"connections_per_bot": str(SOCKETS), "messages_per_key": str(RATE)}


@contextmanager
def held(url: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that has so many WebSockets open."""
    command = [sys.executable, "-c", HOLDER, url, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[ClientConnection]:
    """A WebSocket that is welcomed."""
    async with connect(url, proxy=None, compression=None) as socket:
        assert await socket.recv() == '{"type":"welcome"}'
        yield socket


async def soon(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so, at most 20 s from now."""
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)


async def test_the_places_of_a_client_that_was_killed_are_free_again(relay: RelayServer) -> None:
    """One more than it may have is refused before its upgrade; after SIGKILL there is room."""
    with held(relay.bot_url(), SOCKETS) as process:
        with pytest.raises(InvalidStatus) as caught:
            async with opened(relay.bot_url()):
                pass
        refusal = caught.value.response
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "5")
        assert b'"limit":"connections_per_bot"' in bytes(refusal.body)
        async with opened(relay.bot_url(1)), opened(f"{relay.cable_url}?access_key={relay.key}"):
            pass
        process.send_signal(signal.SIGKILL)
        await soon(lambda: is_welcome(relay.bot_url()))
    assert "limit=connections_per_bot" in relay.log


async def is_welcome(url: str) -> bool:
    """Whether a WebSocket is let in just now."""
    with suppress(InvalidStatus):
        async with opened(url):
            return True
    return False


async def test_a_healthy_bot_answers_while_another_one_floods(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Who sends three times its burst waits for the rest of it, loses nothing, and is alone in it.

    The healthy answer is whole long before the flood has been taken.
    """
    flood = [f"{number} " for number in range(int(3 * RATE * BURST_S))]
    async with (
        raw_bot(relay) as healthy,
        raw_bot(relay, 1) as greedy,
        glasses.ask(question(relay.bot(1).user_id)) as flooded,
    ):
        stream_id = stream_of(await greedy.command())
        pouring = asyncio.create_task(greedy.answer(await greedy.command(), flood[:]))
        await soon(lambda: is_limited(relay, "messages_per_key"))
        for number in range(3):
            answering = asyncio.create_task(glasses.ask_and_read(question(relay.bot().user_id)))
            await healthy.answer(await healthy.command(number), [f"{n} " for n in range(60)])
            answer = await answering
            assert_finished(answer)
            assert answer.text == "".join(f"{n} " for n in range(60))
        assert not pouring.done()
        pouring.cancel()
        greedy.cable.abort()
        assert stream_id == flooded.stream_id
    assert "caller_slowed" in relay.log


async def is_limited(relay: RelayServer, limit: str) -> bool:
    """Whether the metrics say that a WebSocket reached a limit."""
    name = f'relay_limited_total{{kind="socket",limit="{limit}"}} '
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        told = (await client.get("/metrics")).text
    return float(told.split(name)[1].split("\n")[0]) >= 1


def test_behind_a_proxy_each_caller_has_its_own_limit(seed: Seed, tmp_path: Path) -> None:
    """By what a trusted proxy says; an IPv6 network is one caller, and the proxy itself none."""
    limits = {"requests_per_address": "1", "connections_per_address": "2"}
    with (
        running(seed, tmp_path, trusted_proxies="127.0.0.1", **limits) as relay,
        httpx.Client(base_url=relay.url, trust_env=False) as client,
    ):

        def ask(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return client.get("/streams/none/events", headers=headers).status_code

        burst = int(BURST_S)
        assert [ask("192.0.2.1") for _ in range(burst + 1)] == [401] * burst + [429]
        assert ask("192.0.2.2") == 401
        network = [ask(f"2001:db8::{number}") for number in range(burst + 1)]
        assert network == [401] * burst + [429]
        assert ask("2001:db8:0:1::1") == 401
        direct = [client.get("/streams/none/events").status_code for _ in range(20)]
        assert direct == [401] * 20


async def test_an_address_has_so_many_connections_also_where_nothing_is_said_on_them(
    seed: Seed, tmp_path: Path
) -> None:
    """The next one is told so at once, and let in when the others have gone."""
    with running(seed, tmp_path, connections_per_address="20") as relay:

        async def is_served() -> bool:
            async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
                answer = await client.get("/healthz")
            if answer.status_code != 200:
                assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
                assert answer.json()["limit"] == "connections_per_address"
            return answer.status_code == 200

        silent = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(20)]
        assert not await is_served()
        for _, writer in silent:
            writer.close()
        await soon(is_served)
