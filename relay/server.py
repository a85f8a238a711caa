"""Runs a relay behind a listening socket, from its first request to the end of its drain."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from relay.app import FAREWELL_S, Relay, open_relay
from relay.garbage import FullSearches, NewSearches, collect_seldom
from relay.limits.door import Door
from relay.logs import configure
from relay.process import MemoryReturns, keep_memory_together
from relay.settings import Settings
from relay.web.answers import json_error
from relay.web.fast.http import FastHttp
from relay.web.fast.websocket import FastWebSocket
from relay.web.hardened.config import HardenedConfig
from relay.web.hardened.doorstep import Doorstep
from relay.web.hardened.heads import HEAD_BYTES_MAX
from relay.web.hardened.http import HardenedHttp
from relay.web.hardened.listener import listen
from relay.web.hardened.websocket import HardenedWebSocket
from relay.web.metrics import metrics_route
from relay.wire.cable import SUMMARY_FRAME_BYTES_MAX

Banner = Callable[[int], str]
"""Makes what is printed below the address, given the port that was really taken."""


def serve(settings: Settings, *, banner: Banner | None = None) -> None:
    """Run the relay until SIGTERM or SIGINT. `banner` is asked for once it can be reached.

    Raises `StoreError` or `OSError` where it cannot start, before anything is printed.
    """
    serve_on(settings, listen(settings.host, settings.port), partial(announce, banner=banner))


def serve_on(
    settings: Settings, listener: socket.socket, ready: Callable[[socket.socket], None]
) -> None:
    """Run the relay on this socket, which it closes; `ready` is told once it can be reached."""
    configure(settings.log_format, settings.log_level)
    for name in ("aiosqlite", "alembic", "sse_starlette", "urllib3", "uvicorn.error", "websockets"):
        # Below a warning they log every frame, chunk and row, and these hold what people say.
        logging.getLogger(name).setLevel(logging.WARNING)
    keep_memory_together()
    with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
        runner.run(_serve(settings, listener, ready))


def _loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop: libuv's where there is one, which does less in Python."""
    if settings.fast_path == "off":
        return None
    try:
        uvloop = import_module("uvloop")
    except ImportError:  # there is none for Windows
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    settings: Settings, listener: socket.socket, ready: Callable[[socket.socket], None]
) -> None:
    loop = asyncio.get_running_loop()
    chores = (
        NewSearches(call_later=loop.call_later, monotonic=time.monotonic),
        FullSearches(call_later=loop.call_later, monotonic=time.monotonic),
        MemoryReturns(call_later=loop.call_later, monotonic=time.monotonic),
    )
    try:
        async with open_relay(settings) as relay, _metrics_served(relay, settings):
            fast = settings.fast_path == "on"
            config = server_config(relay.app, settings.trusted_proxies, relay.door, fast=fast)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
            if server.started:
                collect_seldom()
                for chore in chores:
                    chore.start()
                ready(listener)
                await _until_told_to_stop(serving)
                for accepting in server.servers:
                    accepting.close()
                await relay.drain(max(0.0, settings.drain_seconds - 3 * FAREWELL_S))
            server.should_exit = True
            await serving
    finally:
        for chore in chores:
            chore.stop()
        listener.close()


def server_config(
    app: ASGIApp,
    trusted_proxies: Sequence[str] = (),
    door: Door | None = None,
    *,
    fast: bool = False,
) -> uvicorn.Config:
    """Return how uvicorn is run. The reasons are in docs/architecture.md.

    `door` counts the connections; None: whoever wants to may connect. `fast` offers the
    application its sockets: see `relay.web.fast`.

    From `trusted_proxies`, `X-Forwarded-For` and `X-Forwarded-Proto` say who calls; from
    everybody else they are ignored, for whoever is locked out would only make up another.
    """
    config = HardenedConfig(
        app,
        lifespan="off",
        http=Doorstep,
        h11_max_incomplete_event_size=2 * HEAD_BYTES_MAX,  # ours is the limit that says why
        ws=FastWebSocket if fast else HardenedWebSocket,
        ws_max_size=SUMMARY_FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=10.0,
        ws_ping_timeout=10.0,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        reset_contextvars=True,
        timeout_graceful_shutdown=FAREWELL_S,
    )
    config.indoors = FastHttp if fast else HardenedHttp
    config.door = door
    config.turn_away = lambda refusal: json_error(refusal.error())
    return config


async def _until_told_to_stop(serving: asyncio.Task[None]) -> None:
    """Wait for a signal; a second one ends the drain at once, as people who press ^C expect."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # In place of uvicorn's handlers, which would close every socket before the drain.
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


@asynccontextmanager
async def _metrics_served(relay: Relay, settings: Settings) -> AsyncIterator[None]:
    """Serve `/metrics` on a port of its own, where the settings name one."""
    if not settings.metrics_port:
        yield
        return
    listener = listen(settings.host, settings.metrics_port)
    app = Starlette(routes=[metrics_route(relay.node.metrics)])
    server = uvicorn.Server(server_config(app))
    # Signals are the other server's: this one ends with it.
    serving = asyncio.create_task(server._serve([listener]))  # noqa: SLF001 - no way without them
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        listener.close()


def announce(listener: socket.socket, banner: Banner | None = None) -> None:
    """Print where the relay can be reached."""
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"listening on http://{host}:{port}", flush=True)  # noqa: T201 - the output
    if banner:
        print(banner(port), flush=True)  # noqa: T201 - as above
