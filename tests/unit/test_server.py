"""The relay as the process that operators run."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import IPPROTO_TCP, TCP_INFO

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from relay import server
from relay.app import open_relay
from relay.doctor.machine import BACKLOG, SOMAXCONN
from relay.server import server_config
from relay.web.hardened.listener import listen
from tests.support.relay_app import (
    AUTHORIZATION,
    EXIT_S,
    a_bot,
    client,
    furnish,
    settings,
)
from tests.unit.web.fakes import QUESTION, texts


@pytest.mark.parametrize(
    ("trusted", "peer", "seen"),
    [
        ((), "10.0.0.9", "10.0.0.9 http"),
        (("10.0.0.0/8",), "10.0.0.9", "203.0.113.7 https"),
        (("10.0.0.0/8",), "198.51.100.1", "198.51.100.1 http"),
    ],
    ids=["no proxy is trusted", "a trusted proxy", "somebody else"],
)
async def test_only_a_trusted_proxy_says_who_calls(
    trusted: tuple[str, ...], peer: str, seen: str
) -> None:
    """Of a list, what the trusted one added counts, and not what the client claimed before."""

    async def who(scope: Scope, receive: Receive, send: Send) -> None:
        said = f"{scope['client'][0]} {scope['scheme']}"
        await PlainTextResponse(said)(scope, receive, send)

    config = server_config(Starlette(routes=[Mount("/", who)]), trusted)
    config.load()
    transport = httpx.ASGITransport(config.loaded_app, client=(peer, 1))
    headers = {"X-Forwarded-For": "192.0.2.66, 203.0.113.7", "X-Forwarded-Proto": "https"}
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as http:
        assert (await http.get("/", headers=headers)).text == seen


async def test_as_many_connections_may_wait_to_be_accepted_as_the_doctor_expects() -> None:
    """After a restart all bots come at once; whom the kernel turns away comes a second later."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(server_config(Starlette()))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(EXIT_S):
        while not server.started:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    # Linux tells a listening socket's backlog where another one has what was sacked.
    (backlog,) = struct.unpack_from("I", listener.getsockopt(IPPROTO_TCP, TCP_INFO, 32), 28)
    server.should_exit = True
    await serving
    assert backlog == min(BACKLOG, int(SOMAXCONN.read_text()))


@dataclass(frozen=True, slots=True)
class Process:
    """A relay that was started."""

    process: asyncio.subprocess.Process
    port: int
    lines: list[str]

    async def end(self) -> tuple[int, str, float]:
        """SIGTERM it; returns the exit code, what it logged, and how long it took."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(self.process.communicate(), EXIT_S)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode(), time.perf_counter() - began


TELL = "told = lambda port: f'the banner of {port}'"


@asynccontextmanager
async def started(
    folder: Path, *, port: int = 0, tell: str = TELL, **environment: str
) -> AsyncIterator[Process]:
    """Start a relay on a free port, with a database in this folder; `tell` makes its banner."""
    program = (
        f"{tell}; from relay.server import serve; from relay.settings import Settings; "
        "import os; settings = Settings.from_environment(os.environ); "
        "serve(settings, banner=told)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "RELAY_PORT": str(port),
            "RELAY_DATABASE_URL": settings(folder).database_url,
            "RELAY_DRAIN_SECONDS": "2",
            **environment,
        },
    )
    assert process.stdout is not None
    try:
        lines = [
            (await asyncio.wait_for(process.stdout.readline(), 15)).decode().rstrip()
            for _ in range(2)
        ]
        real = int(lines[0].rpartition(":")[2]) if lines[0] else 0
        yield Process(process, real, lines)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_relay_that_listens_has_loaded_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """Each of these takes longer to import than most of the relay itself."""
    async with open_relay(settings(tmp_path)):
        pass  # now the schema is the newest, as at nearly every start
    tell = "import sys, relay.cli; told = lambda port: ' '.join(sys.modules)"
    async with started(tmp_path, tell=tell) as relay:
        modules = set(relay.lines[1].split())
        loaded = {name.partition(".")[0] for name in modules}
    assert {"sqlmodel", "uvicorn", "starlette"} <= loaded  # so it was really listed
    unused = {"PIL", "alembic", "asyncpg", "httpx", "mako", "openai", "opentelemetry", "orjson"}
    assert not loaded & unused
    assert not loaded & {"pytest", "redis", "relay_sdk", "schemathesis", "yaml", "zxingcpp"}
    assert not modules & {"relay.broker.redis", "relay.demo", "relay.doctor"}
    assert not modules & {"relay.telemetry.otlp", "sqlalchemy.dialects.postgresql"}


async def test_a_process_says_where_it_listens_and_ends_when_told(tmp_path: Path) -> None:
    """Port 0 prints the real one, the banner follows, and an idle relay ends at once."""
    async with started(tmp_path) as relay:
        assert relay.lines == [
            f"listening on http://127.0.0.1:{relay.port}",
            f"the banner of {relay.port}",
        ]
        async with client(relay.port) as http:
            assert (await http.get("/readyz")).json() == {"status": "ready"}
        code, errors, took = await relay.end()
    assert code == 0
    assert "Traceback" not in errors
    assert took < 2


async def test_a_process_that_is_told_to_end_takes_leave_within_its_drain(tmp_path: Path) -> None:
    """With a stream open: the device is answered, the bot told, the exit clean and in time."""
    async with open_relay(settings(tmp_path)) as relay:
        await furnish(relay)
    async with started(tmp_path) as process, a_bot(process.port) as bot:
        async with client(process.port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            await bot.until("execute_command")
            code, errors, took = await process.end()
            response = await asking
        while (farewell := await bot.frame()).get("type") != "disconnect":
            pass
    assert code == 0
    assert took < 2 + 1
    assert "Traceback" not in errors
    assert texts(response.text)[0].startswith("This answer was stopped.")
    assert farewell["reason"] == "server_restart"


async def test_no_credential_and_nothing_that_people_say_is_logged(tmp_path: Path) -> None:
    """Not even at level debug, by nobody's logger."""
    async with open_relay(settings(tmp_path)) as relay:
        await furnish(relay)
    async with (
        started(tmp_path, RELAY_LOG_LEVEL="debug") as process,
        client(process.port) as http,
    ):
        async with a_bot(process.port) as bot:
            text = "canary-question"
            item = {"role": "user", "type": "text", "text": text}
            asking = asyncio.create_task(
                http.post("/sse/rokid", json={**QUESTION, "message": [item]}, headers=AUTHORIZATION)
            )
            metadata = (await bot.until("execute_command"))["metadata"]
            assert isinstance(metadata, dict)
            session_id = metadata["session_id"]
            await bot.perform(
                type="stream_chunk", session_id=session_id, sequence=0, content="canary-answer"
            )
            await bot.perform(type="stream_end", session_id=session_id, total_chunks=1)
            await asking
        wrong = await http.get(f"/streams/{session_id}/events?ticket=canary-ticket")
        assert wrong.status_code == 401
        _, errors, _ = await process.end()
    assert "bot_connected" in errors
    assert "canary" not in errors


async def test_what_searches_for_garbage_runs_while_the_relay_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From before it is said to listen until it ends; what a start made is searched no more."""
    told: list[str] = []

    class Chore:
        def __init__(self, name: str, **_clocks: object) -> None:
            self.name = name

        def start(self) -> None:
            told.append(f"{self.name} on")

        def stop(self) -> None:
            told.append(f"{self.name} off")

    chores = ("NewSearches", "FullSearches", "MemoryReturns")
    for name in chores:
        monkeypatch.setattr(server, name, partial(Chore, name))
    monkeypatch.setattr(server, "collect_seldom", lambda: told.append("frozen"))
    listens = asyncio.Event()
    configured = settings(tmp_path, fast_path="off")
    listener = listen("127.0.0.1", 0)
    run = server._serve(configured, listener, lambda _: listens.set())  # noqa: SLF001 - in this loop
    serving = asyncio.create_task(run)
    await listens.wait()
    assert told == ["frozen", *(f"{name} on" for name in chores)]
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert told[4:] == [f"{name} off" for name in chores]


async def test_a_port_that_is_taken_ends_the_start_with_one_clear_line(tmp_path: Path) -> None:
    """`relay serve` prints it without a traceback."""
    async with started(tmp_path) as first:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from relay.cli import main; main()",
            "serve",
            "--port",
            str(first.port),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "RELAY_DATABASE_URL": settings(tmp_path).database_url,
            },
        )
        output, errors = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 1
    assert output == b""
    assert errors.decode().startswith(f"relay: cannot listen on 127.0.0.1:{first.port}: ")
    assert errors.decode().count("\n") == 1
