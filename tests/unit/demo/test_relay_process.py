from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import httpx
import pytest

from relay.demo import relay_process as module
from relay.demo.relay_process import RelayFailed, relay_process


async def test_a_relay_runs_for_as_long_as_the_block() -> None:
    """On a port of its own, with a bot and a key that it knows."""
    async with relay_process({}, bots=2) as relay:
        async with httpx.AsyncClient() as client:
            ready = await client.get(f"{relay.base}/readyz")
        assert ready.status_code == 200
        assert [await relay.store.bot_by_token(token) for token in relay.sdk_tokens] == [
            await relay.store.bot_by_user(user) for user in relay.user_ids
        ]
        assert await relay.store.access_key_by_key(relay.access_key) is not None
    with pytest.raises(ProcessLookupError):
        os.kill(relay.pid, 0)


async def test_a_relay_that_cannot_start_says_why() -> None:
    """In its own words, not as a broken pipe."""
    with pytest.raises(RelayFailed, match="RELAY_WINDOW"):
        async with relay_process({"RELAY_WINDOW": "many"}):
            pass


async def test_the_settings_of_the_caller_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo must not work on somebody's database."""
    monkeypatch.setitem(os.environ, "RELAY_WINDOW", "many")
    async with relay_process({}) as relay:
        assert relay.base.startswith("http://127.0.0.1:")


async def test_a_relay_of_another_tree_is_run(tmp_path: Path) -> None:
    """For example one that is compiled; what is installed does not count."""
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay/__init__.py").touch()
    (tmp_path / "relay/cli.py").write_text(
        "import signal\n"
        "def main():\n"
        "    print('listening on another', flush=True)\n"
        "    signal.pause()\n"
    )
    async with relay_process({}, tree=tmp_path) as relay:
        assert relay.base == "another"


async def test_a_relay_is_run_by_another_command() -> None:
    """For example by a profiler, whose process becomes the relay's; it may take its time."""
    async with relay_process({}, under=("env", "RUN_BY=env")) as relay:
        environment = Path(f"/proc/{relay.pid}/environ").read_bytes()  # noqa: ASYNC240 - no disk
        assert b"RUN_BY=env" in environment.split(b"\0")
    with pytest.raises(RelayFailed, match="it said nothing"):
        async with relay_process({}, start_s=0.0):
            pass


async def test_a_trace_that_is_never_written_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a wait without an end."""
    monkeypatch.setattr(module, "TRACE_S", 0.0)
    async with relay_process({}) as relay:
        with pytest.raises(RelayFailed, match="no trace"):
            await relay.trace("trace_unknown")


async def test_a_relay_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    """Even if that one was killed, and could stop nothing."""
    program = (
        "import asyncio\n"
        "from relay.demo.relay_process import relay_process\n"
        "async def main():\n"
        "    async with relay_process({}) as relay:\n"
        "        print(relay.base, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    starter = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        # A process that is killed cleans nothing up.
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert starter.stdout is not None
    base = (await starter.stdout.readline()).decode().strip()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    starter.kill()
    await starter.wait()
    assert await reader.read() == b""
    writer.close()
