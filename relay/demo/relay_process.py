"""A relay as a process of its own, with a database that is thrown away."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Final

from relay.admin.trace_row import TraceRow
from relay.errors import RelayError
from relay.store.secrets import new_access_key, new_sdk_token
from relay.store.store import Store

START_S: Final = 30.0
"""A busy machine needs a few seconds to import everything."""

STOP_S: Final = 15.0
"""Longer than the relay's own drain."""

TETHERED: Final = """
import os, signal, threading

def follow():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=follow, daemon=True).start()
from relay.cli import main
main()
"""
"""Runs the command line until stdin ends, as it does when whoever started it is gone, however."""

TRACE_S: Final = 10.0
"""Rows are written in batches, every 0.2 s."""


class RelayFailed(RelayError):
    """The relay's process did not start, or did not do what it must."""


@dataclass(frozen=True, slots=True)
class RelayProcess:
    """A running relay and what is needed to talk to it."""

    base: str
    """For example `http://127.0.0.1:40123`."""
    pid: int
    sdk_tokens: tuple[str, ...]
    """One for each bot."""
    user_ids: tuple[str, ...]
    """The user whose questions each bot answers."""
    access_key: str
    store: Store
    """The relay's database, opened from here."""

    async def trace(self, trace_id: str) -> TraceRow:
        """Return the trace as soon as it is written; raises `RelayFailed` where it never is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TRACE_S):
                # Another process writes it: there is nothing to wait for but the row itself.
                while (row := await self.store.trace(trace_id)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                return row
        raise RelayFailed(f"the relay wrote no trace {trace_id!r} within {TRACE_S:g} s")


@asynccontextmanager
async def relay_process(
    settings: Mapping[str, str],
    *,
    bots: int = 1,
    tree: Path | None = None,
    under: Sequence[str] = (),
    start_s: float = START_S,
) -> AsyncIterator[RelayProcess]:
    """Run `relay serve` on a free port of 127.0.0.1, with so many bots and one access key.

    `settings` are `RELAY_*` variables; those of the caller's own environment do not count.
    `tree` is the folder whose `relay` is run, None for that of the caller; `under` is the command
    that runs it, a profiler's for one, which may take `start_s` seconds for that.
    Raises `RelayFailed` with the relay's last words where it does not start.
    """
    with TemporaryDirectory(prefix="relay-demo-") as folder:
        url = f"sqlite+aiosqlite:///{Path(folder, 'relay.db')}"
        store = await Store.open(url)
        try:
            tokens, key = tuple(new_sdk_token() for _ in range(bots)), new_access_key()
            users = tuple(f"user-{number}" for number in range(bots))
            for token, user in zip(tokens, users, strict=True):
                await store.add_bot(f"bot of {user}", token, user_id=user)
            await store.add_access_key("demo", key)
            with TemporaryFile() as log:
                settings = {**settings, "RELAY_DATABASE_URL": url}
                process = await _start(settings, log, tree, under)
                try:
                    base = await _listening(process, log, start_s)
                    yield RelayProcess(base, process.pid, tokens, users, key, store)
                finally:
                    await _stop(process)
        finally:
            await store.close()


async def _start(
    settings: Mapping[str, str], log: IO[bytes], tree: Path | None, under: Sequence[str]
) -> asyncio.subprocess.Process:
    foreign = {name: v for name, v in os.environ.items() if not name.startswith("RELAY_")}
    return await asyncio.create_subprocess_exec(
        *under,
        sys.executable,
        "-c",
        TETHERED,
        "serve",
        env={**foreign, "RELAY_HOST": "127.0.0.1", "RELAY_PORT": "0", **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        # ^C is for the demo, which then stops its relay itself.
        start_new_session=True,
        # A program that is given as text finds what lies here before anything that is installed.
        cwd=tree,
    )


async def _listening(process: asyncio.subprocess.Process, log: IO[bytes], start_s: float) -> str:
    assert process.stdout is not None
    line = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(start_s):
            line = await process.stdout.readline()
    said, _, base = line.decode().strip().rpartition(" ")
    if said != "listening on":
        log.seek(0)
        words = log.read().decode(errors="replace").strip()
        raise RelayFailed(f"the relay did not start: {words[-2000:] or 'it said nothing'}")
    return base


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
