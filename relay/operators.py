"""Puts together what operators work with: the admin API and the admin page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.routing import Mount, Route

from relay.admin.ports import BindingDesk, LiveView, PeopleDesk, TraceArchive
from relay.clock import Clock
from relay.settings import Settings
from relay.store.store import Store
from relay.web.admin.gate import AdminGate
from relay.web.admin.live_feed import LiveFeed
from relay.web.admin.lockout import Lockout
from relay.web.admin.page import admin_page_routes
from relay.web.admin.routes import admin_api_routes
from relay.web.admin.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Office:
    """The store as operators see it: `relay.admin.ports.AdminStore`."""

    archive: TraceArchive
    people: PeopleDesk
    bindings: BindingDesk


def admin_routes(
    store: Store,
    live: LiveView,
    feed: LiveFeed,
    settings: Settings,
    clock: Clock,
    *,
    restricted: Callable[[], Awaitable[None]],
) -> list[Route | Mount]:
    """Return the routes of `/admin`. `restricted` ends what a revoked credential holds open.

    The API and the page share their sessions, and count wrong tokens together.
    """
    office = Office(
        archive=store.archive,
        people=store.people_desk(restricted),
        bindings=store.binding_desk(settings.binding_ttl_seconds),
    )
    sessions = Sessions(settings.secret.encode(), clock.now)
    gate = AdminGate(office.people, sessions, Lockout(clock.now))
    return [
        *admin_api_routes(office, live, gate, clock, feed),
        *admin_page_routes(office, live, gate=gate, sessions=sessions, now=clock.now),
    ]
