"""The composition root: puts the parts together and runs them. Nobody else knows all of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from relay.brokers import OpenBroker, open_broker
from relay.clock import Clock, SystemClock
from relay.errors import BrokerUnavailable, StoreError
from relay.logs import configure, get_logger
from relay.metrics import Metrics
from relay.node.node import Node
from relay.node.revocations import Revocations
from relay.node.tracer import Tracer
from relay.operators import admin_routes
from relay.process import LoopLag, watch_process
from relay.settings import Settings
from relay.store.models import AccessKey, Bot
from relay.store.retention import Janitor, Retention, Swept
from relay.store.scopes import load_scope
from relay.store.signing_key import signing_key
from relay.store.store import Store
from relay.telemetry.extra import open_spans
from relay.telemetry.sink import SpanSink
from relay.web.admin.live_feed import LiveFeed
from relay.web.auth import BotIdentity, KeyIdentity
from relay.web.binding.dialogue import BindingDialogue, photo_reader
from relay.web.callers import Callers
from relay.web.hardening import HEAD_BYTES_MAX, HardenedHttp, HardenedWebSocket
from relay.web.health import Check, health_routes
from relay.web.listener import listen
from relay.web.routes import web_routes
from relay.web.sse import Responder
from relay.wire.cable import SUMMARY_FRAME_BYTES_MAX

_logger = get_logger(__name__)

Banner = Callable[[int], str]
"""Makes what is printed below the address, given the port that was really taken."""

FAREWELL_S = 1
"""What a drain keeps back for the last words, and again for closing the sockets."""


class StoreDirectory:
    """The store as the web layer's port."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def bot_by_token(self, token: str) -> BotIdentity | None:
        """See `Directory.bot_by_token`."""
        return _bot(await self._store.bot_by_token(token))

    async def bot_by_user(self, user_id: str) -> BotIdentity | None:
        """See `Directory.bot_by_user`."""
        return _bot(await self._store.bot_by_user(user_id))

    async def access_key(self, key: str) -> KeyIdentity | None:
        """See `Directory.access_key`."""
        return _key(await self._store.access_key_by_key(key))


def _bot(bot: Bot | None) -> BotIdentity | None:
    return None if bot is None or bot.id is None else BotIdentity(bot.id, bot.name, bot.token_hash)


def _key(key: AccessKey | None) -> KeyIdentity | None:
    if key is None or key.id is None:
        return None
    return KeyIdentity(key.id, key.name, load_scope(key.scope))


@dataclass(slots=True)
class Relay:
    """A relay that is put together, without the server in front of it."""

    app: Starlette
    node: Node
    tracer: Tracer
    store: Store
    responder: Responder
    revocations: Revocations
    feed: LiveFeed
    draining: bool = False

    async def drain(self, seconds: float) -> None:
        """Let open device streams run on for at most `seconds`, then take leave of everybody."""
        self.draining = True
        await self.node.hand_over()
        await self._idle(seconds)
        # Ends what is still open with a word to the device, and tells the bots to come back.
        await self.node.drain()
        await self._idle(FAREWELL_S)
        self.responder.end_all()
        self.feed.end_all()

    async def _idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.responder.idle()
        except TimeoutError:
            _logger.warning("streams_open_at_drain", streams=self.responder.open_count)


@asynccontextmanager
async def open_relay(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Relay]:
    """Open the store, put everything together, and close it all in the end.

    A SQLite database is migrated. Raises `StoreError` where the database cannot be used, and
    `BrokerUnavailable` where Redis does not answer.
    """
    clock = clock or SystemClock()
    if not settings.secret:
        settings = replace(settings, secret=signing_key(settings.database_url))
    store = await Store.open(settings.database_url, clock)
    brokers = AsyncExitStack()
    try:
        broker = await brokers.enter_async_context(open_broker(settings))
        spans = open_spans() if settings.otel == "on" else None
        tracer = Tracer(store if spans is None else SpanSink(store, spans))
        node = Node(
            clock=clock,
            broker=broker.ports,
            settings=settings,
            tracer=tracer,
        )
        responder = Responder(
            keepalive_s=settings.keepalive_seconds, drain_s=settings.drain_seconds
        )
        callers = Callers()
        revocations = Revocations(
            store,
            (node.keyed_streams, callers),
            every_s=settings.revocation_seconds,
            now=clock.now,
        )
        janitor = Janitor(
            partial(store.sweep, retention_of(settings)),
            every_s=settings.sweep_seconds,
            report=partial(_count_swept, node.metrics),
        )
        feed = LiveFeed(node.live)
        relay = Relay(Starlette(), node, tracer, store, responder, revocations, feed)
        relay.app.router.routes.extend(
            web_routes(
                node,
                StoreDirectory(store),
                responder,
                settings,
                clock,
                BindingDialogue(
                    store.binding_desk(settings.binding_ttl_seconds),
                    photo_reader(settings.binding_photo),
                    now=clock.now,
                ),
                callers,
            )
        )
        relay.app.router.routes.extend(
            admin_routes(
                store, node.live, relay.feed, settings, clock, restricted=revocations.check
            )
        )
        relay.app.router.routes.extend(health_routes(_checks(relay, broker)))
        watch_process(node.metrics.registry)
        loop = asyncio.get_running_loop()
        lag = LoopLag(node.metrics.loop_lagged, call_later=loop.call_later, monotonic=loop.time)
        tracer.start()
        janitor.start()
        lag.start()
        revocations.start()
        try:
            yield relay
        finally:
            lag.stop()
            await revocations.stop()
            await node.drain()
            await janitor.stop()
            await tracer.stop()
            if spans is not None:
                await spans.close()
    finally:
        await brokers.aclose()
        await store.close()


def retention_of(settings: Settings) -> Retention:
    """Return what the settings say of traces that are to go."""
    return Retention(
        settings.trace_ttl_seconds, settings.trace_content_ttl_seconds, settings.trace_bytes_max
    )


def _count_swept(metrics: Metrics, swept: Swept) -> None:
    metrics.traces_swept(
        expired=swept.expired, crowded_out=swept.crowded_out, blanked=swept.blanked
    )


def _checks(relay: Relay, opened: OpenBroker) -> dict[str, Check]:
    async def database() -> str | None:
        try:
            await relay.store.ping()
        except StoreError:
            return "the database does not answer"
        return None

    async def broker() -> str | None:
        try:
            await opened.ping()
        except BrokerUnavailable:
            return "the broker does not answer"
        return None

    async def draining() -> str | None:
        return "the relay is draining" if relay.draining else None

    return {"database": database, "broker": broker, "relay": draining}


def serve(settings: Settings, *, banner: Banner | None = None) -> None:
    """Run the relay until SIGTERM or SIGINT. `banner` is asked for once it can be reached.

    Raises `StoreError` or `OSError` where it cannot start, before anything is printed.
    """
    configure(settings.log_format, settings.log_level)
    for name in ("aiosqlite", "alembic", "sse_starlette", "urllib3", "uvicorn.error", "websockets"):
        # Below a warning they log every frame, chunk and row, and these hold what people say.
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.run(_serve(settings, banner))


async def _serve(settings: Settings, banner: Banner | None) -> None:
    listener = listen(settings.host, settings.port)
    try:
        async with open_relay(settings) as relay:
            server = uvicorn.Server(server_config(relay.app, settings.trusted_proxies))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
            if server.started:
                # What was imported is no garbage; searching it stops every stream for 0.15 s.
                gc.collect()
                gc.freeze()
                _announce(listener, banner)
                await _until_told_to_stop(serving)
                for accepting in server.servers:
                    accepting.close()
                await relay.drain(max(0.0, settings.drain_seconds - 2 * FAREWELL_S))
            server.should_exit = True
            await serving
    finally:
        listener.close()


def server_config(app: ASGIApp, trusted_proxies: Sequence[str] = ()) -> uvicorn.Config:
    """Return how uvicorn is run. The reasons are in docs/architecture.md.

    From `trusted_proxies`, `X-Forwarded-For` and `X-Forwarded-Proto` say who calls; from
    everybody else they are ignored, for whoever is locked out would only make up another.
    """
    return uvicorn.Config(
        app,
        lifespan="off",
        http=HardenedHttp,
        h11_max_incomplete_event_size=2 * HEAD_BYTES_MAX,  # ours is the limit that says why
        ws=HardenedWebSocket,
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


def _announce(listener: socket.socket, banner: Banner | None) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    print(f"listening on http://{host}:{port}", flush=True)  # noqa: T201 - the output
    if banner:
        print(banner(port), flush=True)  # noqa: T201 - as above
