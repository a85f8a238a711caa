"""The admin API over the fakes of `tests.support.admin`, called without a port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.types import Scope

from relay.admin.live import LiveStream
from relay.admin.trace_row import TraceRow
from relay.clock import ManualClock
from relay.web.admin.gate import AdminGate, AdminSession, SessionReader
from relay.web.admin.live_feed import LiveFeed
from relay.web.admin.lockout import ATTEMPTS_MAX, Lockout
from relay.web.admin.routes import admin_api_routes
from relay.web.auth import header
from tests.support.admin import ADMIN_TOKEN, NOW, FakeAdminStore, FakeLive

BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

COOKIE = {"Cookie": "relay_admin=known"}

CSRF = "csrf-of-the-session"


class FakeSessions:
    """A `SessionReader` that knows one cookie."""

    def session_of(self, scope: Scope) -> AdminSession | None:
        """The session of administrator 1."""
        known = header(scope["headers"], b"cookie") == COOKIE["Cookie"]
        return AdminSession(1, CSRF) if known else None


@dataclass(slots=True)
class Api:
    """The API, what is behind it, and a caller with a token."""

    app: Starlette
    store: FakeAdminStore
    live: FakeLive
    clock: ManualClock
    feed: LiveFeed
    http: httpx.AsyncClient

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Call `GET /admin/api...`. A header's underscores stand for hyphens."""
        return await self.call("GET", path, **headers)

    async def call(
        self, method: str, path: str, json: object = None, **headers: str
    ) -> httpx.Response:
        """Call with the token, and a body where there is one."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, f"/admin/api{path}", json=json, headers=more)


@asynccontextmanager
async def admin_api(
    rows: Iterable[TraceRow] = (),
    streams: Iterable[LiveStream] = (),
    *,
    live: FakeLive | None = None,
    attempts_max: int = ATTEMPTS_MAX,
    headers: dict[str, str] = BEARER,
    sessions: SessionReader | None = None,
    feed_interval_s: float = 0.005,
) -> AsyncIterator[Api]:
    """Put the API together."""
    store, clock = FakeAdminStore(rows), ManualClock(NOW)
    live = live or FakeLive(list(streams))
    gate = AdminGate(
        store, sessions or FakeSessions(), Lockout(clock.now, attempts_max=attempts_max)
    )
    feed = LiveFeed(live, interval_s=feed_interval_s, recheck_s=feed_interval_s)
    app = Starlette(routes=admin_api_routes(store, live, gate, clock, feed))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://relay", headers=headers
    ) as http:
        yield Api(app, store, live, clock, feed, http)
