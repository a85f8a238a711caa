"""`relay serve --workers N`: several processes behind one port."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from relay_sdk import Bot, Command
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.ports import free_port
from tests.support.redis import RedisServer, own_redis
from tests.support.server import RELAY, RelayServer, Seed, environment

__all__ = ["own_redis"]

WORKERS = 2


@pytest.fixture
def crew(seed: Seed, tmp_path: Path, own_redis: RedisServer) -> Iterator[RelayServer]:
    """Two workers on a Redis of this test's own."""
    settings = {"RELAY_BROKER_URL": own_redis.url, "RELAY_METRICS_PORT": str(free_port())}
    options = ("--workers", str(WORKERS))
    with RelayServer(seed, tmp_path / "crew", settings, options=options) as server:
        yield server
        if server.process is not None and server.process.poll() is None:
            server.terminate()
        print(server.log)  # noqa: T201 - pytest keeps it for failures
    assert server.complaints() == []


def workers_of(server: RelayServer) -> list[int]:
    """The process ids of the workers."""
    assert server.process is not None
    pid = server.process.pid
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pids: list[int]) -> list[int]:
    """Those that have not ended."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def metrics(server: RelayServer, index: int) -> httpx.Response:
    """Ask one worker for its metrics, as soon as it answers."""
    base = int(server.settings["RELAY_METRICS_PORT"])
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                return await http.get(f"http://127.0.0.1:{base + index}/metrics")
            except httpx.TransportError:
                await asyncio.sleep(0.05)


@pytest.mark.needs("redis-server")
async def test_workers_share_a_port_and_every_question_is_answered(crew: RelayServer) -> None:
    """Whichever worker has the bot and whichever the device; each has metrics of its own."""
    assert len(workers_of(crew)) == WORKERS
    bot = Bot(crew.url, crew.bot().token)

    @bot.on_command
    async def answer(command: Command) -> None:
        async with bot.reply(command) as reply:
            await reply.write("whole")

    async with bot:
        await bot.connected()
        glasses = Glasses(crew.url, crew.key)
        asked = [glasses.ask_and_read(question(crew.bot().user_id)) for _ in range(8)]
        for shown in await asyncio.gather(*asked):
            assert_finished(shown)
            assert shown.text == "whole"
    for index in range(WORKERS):
        shown_by = await metrics(crew, index)
        assert shown_by.status_code == 200
        assert "relay_" in shown_by.text
    async with httpx.AsyncClient(base_url=crew.url, trust_env=False) as http:
        assert (await http.get("/metrics")).status_code == 404


@pytest.mark.needs("redis-server")
async def test_a_worker_that_dies_is_started_again_and_all_end_with_sigterm(
    crew: RelayServer,
) -> None:
    """There are two again, under other process ids; SIGTERM is passed on, and the exit is 0."""
    before = workers_of(crew)
    os.kill(before[0], signal.SIGKILL)
    async with asyncio.timeout(20):
        # Processes tell nobody that they have begun.
        while len(now := workers_of(crew)) < WORKERS or before[0] in now:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await metrics(crew, 0)
    await metrics(crew, 1)
    assert await asyncio.to_thread(crew.terminate) == 0
    assert running(now) == []
    assert "worker_died" in crew.log


def test_workers_without_redis_are_refused(tmp_path: Path) -> None:
    """One line says what to set, the exit code is that of wrong settings, and nothing listens."""
    done = subprocess.run(
        [RELAY, "serve", "--port", "0", "--workers", "2"],
        env=environment({"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/relay.db"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "RELAY_BROKER_URL" in done.stderr
    assert "redis://" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.needs("redis-server")
async def test_no_worker_outlives_the_process_that_started_it(crew: RelayServer) -> None:
    """It is killed without a word: its workers drain and free the port."""
    workers = workers_of(crew)
    crew.kill()
    async with asyncio.timeout(20):
        # They are nobody's children now, so nobody is told.
        while running(workers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
