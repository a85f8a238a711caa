"""What the operations of the admin API work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.admin.ports import AdminStore, LiveView
from relay.clock import Clock
from relay.web.admin.export import Exports
from relay.web.admin.live_feed import LiveFeed


@dataclass(frozen=True, slots=True)
class Desk:
    """The store, the node, and what is being written at length."""

    store: AdminStore
    live: LiveView
    feed: LiveFeed
    clock: Clock
    exports: Exports = field(default_factory=Exports)
