"""`relay serve --workers N`: several relays behind one listening socket, and who looks after them.

The socket is made here and inherited, so that a connection that no worker has accepted yet is
lost with none of them: another one takes it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from typing import Final

from relay.errors import RelayError, SettingsError
from relay.logs import configure, get_logger
from relay.server import Banner, announce, serve_on
from relay.settings import PREFIX, Settings, as_variable
from relay.store.signing_key import signing_key
from relay.web.hardened.listener import listen

RESTART_FIRST_S: Final = 0.5
RESTART_MAX_S: Final = 30.0
"""How long after its death a worker is started again: the first time, doubled up to the last."""

STEADY_S: Final = 60.0
"""A worker that lived so long died of something new."""

STOP_MARGIN_S: Final = 3.0
"""How much longer than its drain a worker may take to end."""

_RUN: Final = """
import sys
from relay.garbage import imported_for_good
with imported_for_good():
    from relay.workers import work
work(*map(int, sys.argv[1:]))
"""

_logger = get_logger(__name__)


def serve_workers(settings: Settings, count: int, *, banner: Banner | None = None) -> None:
    """Run so many workers until SIGTERM or SIGINT.

    Raises `SettingsError` where they would share no broker, `OSError` where the port is taken,
    and `SystemExit` with the code of a worker that could not start.
    """
    if settings.broker_url == "memory://":
        raise SettingsError(
            "RELAY_BROKER_URL",
            settings.broker_url,
            f"redis://HOST:PORT, because {count} workers share no memory; or run one",
        )
    configure(settings.log_format, settings.log_level)
    if not settings.secret:
        # A ticket of one worker must be good for all of them.
        settings = replace(settings, secret=signing_key(settings.database_url))
    listener = listen(settings.host, settings.port)
    try:
        listener.listen(2048)
        code = asyncio.run(_Workers(settings, count, listener).run(banner))
    finally:
        listener.close()
    if code:
        sys.exit(code)


def work(listener_fd: int, ready_fd: int) -> None:
    """Be one worker, on the socket that was inherited, until SIGTERM or the end of stdin."""
    # Stdin ends when whoever started this is gone, however.
    threading.Thread(target=_stop_without_parent, daemon=True).start()

    def is_ready(_listener: socket.socket) -> None:
        with suppress(OSError):
            os.write(ready_fd, b".")
        os.close(ready_fd)

    try:
        settings = Settings.from_environment(os.environ)
        serve_on(settings, socket.socket(fileno=listener_fd), is_ready)
    except (RelayError, OSError) as error:
        sys.exit(f"relay: {error}")


def _stop_without_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


class _Workers:
    def __init__(self, settings: Settings, count: int, listener: socket.socket) -> None:
        self._settings = settings
        self._count = count
        self._listener = listener
        self._stop = asyncio.Event()
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self, banner: Banner | None) -> int:
        """Start them, keep them, and end them. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        ready = [asyncio.Event() for _ in range(self._count)]
        keeping = [
            loop.create_task(self._keep(index, is_ready.set))
            for index, is_ready in enumerate(ready)
        ]
        all_ready = loop.create_task(_all(ready))
        await asyncio.wait({all_ready, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        if all_ready.done() and not self._stop.is_set():
            announce(self._listener, banner)
        all_ready.cancel()
        await asyncio.wait(keeping, return_when=asyncio.FIRST_COMPLETED)
        # One that could never start takes the others with it: they would fare no better.
        self._told_to_stop()
        # A signal is no failure: one of those that we ended had not even begun.
        return max(0, *await asyncio.gather(*keeping))

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            for worker in self._running.values():
                worker.kill()
            return
        self._stop.set()
        for worker in self._running.values():
            worker.terminate()

    async def _keep(self, index: int, is_ready: Callable[[], None]) -> int:
        """Run the worker of this index again and again; returns its last exit code."""
        loop = asyncio.get_running_loop()
        pause_s = RESTART_FIRST_S
        while True:
            began = loop.time()
            was_ready, code = await self._run_once(index, is_ready)
            if self._stop.is_set():
                return code
            if not was_ready and loop.time() - began < STEADY_S and pause_s == RESTART_FIRST_S:
                return code or 1
            if loop.time() - began >= STEADY_S:
                pause_s = RESTART_FIRST_S
            _logger.error("worker_died", worker=index, exit_code=code, restart_in_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
                return 0
            pause_s = min(2 * pause_s, RESTART_MAX_S)

    async def _run_once(self, index: int, is_ready: Callable[[], None]) -> tuple[bool, int]:
        """Run a worker to its end; returns whether it ever was ready, and its exit code."""
        read_fd, write_fd = os.pipe()
        try:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _RUN, str(self._listener.fileno()), str(write_fd)),
                env=environment_of(self._settings, index),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(self._listener.fileno(), write_fd),
                # ^C is for us: a worker that were told twice would end without its drain.
                start_new_session=True,
            )
        finally:
            os.close(write_fd)
        self._running[index] = worker
        if self._stop.is_set():
            worker.terminate()
        try:
            was_ready = await _read_byte(read_fd)
            if was_ready:
                is_ready()
            return was_ready, await self._end_of(worker)
        finally:
            os.close(read_fd)
            del self._running[index]

    async def _end_of(self, worker: asyncio.subprocess.Process) -> int:
        ended = asyncio.ensure_future(worker.wait())
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        await asyncio.wait({ended}, timeout=self._settings.drain_seconds + STOP_MARGIN_S)
        if self._stop.is_set() and not ended.done():
            worker.kill()
        return await ended


def environment_of(settings: Settings, index: int) -> dict[str, str]:
    """Return the environment of a worker: our own, with these settings and a port for metrics."""
    if settings.metrics_port:
        settings = replace(settings, metrics_port=settings.metrics_port + index)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    given = {
        PREFIX + item.name.upper(): as_variable(getattr(settings, item.name))
        for item in fields(settings)
    }
    return {**ours, **{name: value for name, value in given.items() if value}}


async def _all(events: list[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _read_byte(fd: int) -> bool:
    """Wait for a byte in a pipe; False where it was closed without one."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(fd)
    return bool(os.read(fd, 1))
