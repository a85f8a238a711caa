"""The relay put together: in this process, and as the process that operators run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from relay.app import Relay, open_relay, server_config
from relay.errors import StoreError
from relay.settings import Settings
from tests.unit.web.fakes import QUESTION, SETTINGS, Cable, answer, eventually, running, texts

TOKEN, KEY = "canary-sdk-" + "1" * 40, "canary-key-" + "2" * 40
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
EXIT_S = 5.0
"""How long a process may take to end; a guard against hangs, not a target."""


def settings(folder: Path, **changes: object) -> Settings:
    """Settings with a database in this folder."""
    url = f"sqlite+aiosqlite:///{folder / 'relay.db'}"
    return replace(SETTINGS, database_url=url, **changes)  # type: ignore[arg-type]


async def furnish(relay: Relay) -> None:
    """Add the bot and the key that the tests use."""
    await relay.store.add_bot("one", TOKEN, user_id="U1")
    await relay.store.add_access_key("console", KEY)


@asynccontextmanager
async def a_bot(port: int) -> AsyncIterator[Cable]:
    """A bot that is subscribed."""
    url = f"ws://127.0.0.1:{port}/cable?sdk_token={TOKEN}"
    async with connect(url, compression=None, proxy=None) as socket:
        cable = Cable(socket)
        await cable.subscribe(channel="BotChannel", protocol=2)
        while (await cable.frame()).get("type") != "confirm_subscription":
            pass
        yield cable


def client(port: int) -> httpx.AsyncClient:
    """A client of the relay on this port."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=EXIT_S, trust_env=False)


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


# --- in this process ----------------------------------------------------------------------


async def test_the_parts_fit_together(tmp_path: Path) -> None:
    """A question goes to the bot of its user, the answer to the device, the row to the store."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with a_bot(port) as bot, client(port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            command = await bot.until("execute_command")
            metadata = command["metadata"]
            assert isinstance(metadata, dict)
            session_id = metadata["session_id"]
            await bot.perform(
                type="stream_chunk", session_id=session_id, sequence=0, content="hello"
            )
            await bot.perform(type="stream_end", session_id=session_id, total_chunks=1)
            response = await asking
        assert texts(response.text) == ["hello", ""]
        async with asyncio.timeout(EXIT_S):
            while not await relay.store.trace_count():  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.01)
        row = await relay.store.archive.find_trace(session_id)
        assert row is not None
        assert (row.stream_id, row.outcome, row.sse_content) == (session_id, "completed", "hello")


async def test_credentials_are_those_of_the_store(tmp_path: Path) -> None:
    """Unknown ones are refused on every way in."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with client(port) as http:
            refused = await http.post(
                "/sse/rokid", json=QUESTION, headers={"Authorization": f"Bearer {TOKEN}"}
            )
            assert refused.headers["Relay-Error"] == "unauthorized"
        url = f"ws://127.0.0.1:{port}/cable?sdk_token={KEY}"
        async with connect(url, proxy=None) as socket:
            assert (await Cable(socket).frame())["reason"] == "unauthorized"


async def test_a_relay_is_ready_until_it_drains(tmp_path: Path) -> None:
    """`/readyz` names the part that is not ready; `/healthz` goes on."""
    async with (
        open_relay(settings(tmp_path)) as relay,
        running(relay.app) as port,
        client(port) as http,
    ):
        assert (await http.get("/readyz")).status_code == 200
        await relay.drain(0)
        unready = await http.get("/readyz")
        assert unready.status_code == 503
        assert unready.json()["reasons"] == {"relay": "the relay is draining"}
        assert (await http.get("/healthz")).status_code == 200


async def test_a_database_that_fails_makes_the_relay_unready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer does not say what the driver said."""

    async def ping(_store: object) -> None:
        raise StoreError("secret path")

    monkeypatch.setattr("relay.store.store.Store.ping", ping)
    async with (
        open_relay(settings(tmp_path)) as relay,
        running(relay.app) as port,
        client(port) as http,
    ):
        unready = await http.get("/readyz")
    assert unready.json()["reasons"] == {"database": "the database does not answer"}


async def test_a_drain_lets_a_stream_finish(tmp_path: Path) -> None:
    """Its bot stays connected until the answer is whole, and the drain ends with it."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with a_bot(port) as bot, client(port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            metadata = (await bot.until("execute_command"))["metadata"]
            assert isinstance(metadata, dict)
            await eventually(lambda: relay.responder.open_count == 1)
            draining = asyncio.create_task(relay.drain(EXIT_S * 10))
            await eventually(lambda: relay.draining)
            await answer(bot, str(metadata["session_id"]), "whole")
            assert texts((await asking).text) == ["whole", ""]
            await asyncio.wait_for(draining, EXIT_S)


async def test_a_drain_ends_what_is_still_open_in_words(tmp_path: Path) -> None:
    """After its time the device reads an end, and its bot is asked to come back."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with a_bot(port) as bot, client(port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            await bot.until("execute_command")
            await relay.drain(0.05)
            response = await asking
            assert texts(response.text)[0].startswith("This answer was stopped.")
            while (farewell := await bot.frame()).get("type") != "disconnect":
                pass
        assert farewell == {"type": "disconnect", "reason": "server_restart", "reconnect": True}
        assert relay.responder.open_count == 0


async def test_nothing_runs_on_after_a_relay_is_closed(tmp_path: Path) -> None:
    """No task, no open stream: the tracer has written what was there."""
    before = len(asyncio.all_tasks())
    async with open_relay(settings(tmp_path)) as relay:
        await furnish(relay)
    await eventually(lambda: len(asyncio.all_tasks()) == before)


# --- as a process ---------------------------------------------------------------------------


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


@asynccontextmanager
async def started(folder: Path, *, port: int = 0, **environment: str) -> AsyncIterator[Process]:
    """Start a relay on a free port, with a database in this folder."""
    program = (
        "import sys; from relay.app import serve; from relay.settings import Settings; "
        "import os; settings = Settings.from_environment(os.environ); "
        "serve(settings, banner=lambda port: f'the banner of {port}')"
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
