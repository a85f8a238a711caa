"""The composition root: puts the parts together. Nobody else knows all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from relay.brokers import OpenBroker, open_broker
from relay.clock import Clock, SystemClock
from relay.directory import StoreDirectory
from relay.errors import BrokerUnavailable, StoreError
from relay.limits.allowance import allowance_of
from relay.limits.door import Door
from relay.logs import get_logger
from relay.metrics import Metrics
from relay.node.node import Node
from relay.node.revocations import Revocations
from relay.node.tracer import Tracer, TraceSink
from relay.operators import admin_routes
from relay.process import LoopLag, watch_process
from relay.settings import Settings
from relay.store.retention import Janitor, Retention, Swept
from relay.store.signing_key import signing_key
from relay.store.store import Store
from relay.telemetry.extra import open_spans
from relay.telemetry.sink import SpanSink
from relay.web.admin.live_feed import LiveFeed
from relay.web.admission import Paced
from relay.web.binding.dialogue import BindingDialogue, photo_reader
from relay.web.callers import Callers
from relay.web.fast.passes import Passes
from relay.web.health import Check, health_routes
from relay.web.routes import web_routes
from relay.web.sse import Responder

_logger = get_logger(__name__)

FAREWELL_S = 1
"""What a drain keeps back for the last words, for closing the sockets, and for a busy machine."""


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
    door: Door
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
    async with AsyncExitStack() as closing:
        # Whatever is opened is closed in the opposite order, however far this gets.
        store = await Store.open(settings.database_url, clock)
        closing.push_async_callback(store.close)
        broker = await closing.enter_async_context(open_broker(settings))
        sink: TraceSink = store
        if settings.otel == "on":
            spans = open_spans()
            closing.push_async_callback(spans.close)
            sink = SpanSink(store, spans)
        tracer = Tracer(sink)
        closing.push_async_callback(tracer.stop)
        node = Node(clock=clock, broker=broker.ports, settings=settings, tracer=tracer)
        janitor = Janitor(
            partial(store.sweep, retention_of(settings)),
            every_s=settings.sweep_seconds,
            report=partial(_count_swept, node.metrics),
        )
        closing.push_async_callback(janitor.stop)
        closing.push_async_callback(node.drain)
        callers = Callers()
        directory = StoreDirectory(store, for_s=settings.revocation_seconds, now=clock.now)
        revocations = Revocations(
            store,
            # The directory first: who asks again because a stream has ended is to be refused.
            (directory, node.keyed_streams, callers),
            every_s=settings.revocation_seconds,
            now=clock.now,
        )
        closing.push_async_callback(revocations.stop)
        loop = asyncio.get_running_loop()
        lag = LoopLag(node.loop_lagged, call_later=loop.call_later, monotonic=loop.time)
        closing.callback(lag.stop)
        watch_process(node.metrics.registry)
        passes = Passes(loop.call_soon, loop.time) if settings.fast_path == "on" else None
        relay = Relay(
            Starlette(),
            node,
            tracer,
            store,
            Responder(
                keepalive_s=settings.keepalive_seconds,
                drain_s=settings.drain_seconds,
                passes=passes,
            ),
            revocations,
            LiveFeed(node.live),
            Door(allowance_of(settings), node.metrics.limited),
        )
        relay.app.router.routes.extend(
            _routes(relay, settings, clock, directory, callers, broker, passes)
        )
        relay.app.add_middleware(Paced, routes=relay.app.routes)
        for part in (tracer, janitor, revocations, lag):
            part.start()
        yield relay


def _routes(
    relay: Relay,
    settings: Settings,
    clock: Clock,
    directory: StoreDirectory,
    callers: Callers,
    broker: OpenBroker,
    passes: Passes | None,
) -> list[BaseRoute]:
    store, node = relay.store, relay.node
    binding = BindingDialogue(
        store.binding_desk(settings.binding_ttl_seconds),
        photo_reader(settings.binding_photo),
        now=clock.now,
    )
    restricted = relay.revocations.check
    return [
        *web_routes(node, directory, relay.responder, settings, clock, binding, callers, passes),
        *admin_routes(store, node.live, relay.feed, settings, clock, restricted=restricted),
        *health_routes(_checks(relay, broker)),
    ]


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
