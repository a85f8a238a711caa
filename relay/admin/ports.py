"""Who answers an operator: the store for what is written down, the node for what is so just now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from relay.admin.live import LiveStream
from relay.admin.people import BindingRecord, BotRecord, KeyRecord, Made, Scope
from relay.admin.statistics import Statistics
from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceFilter, TracePage, TraceQuery


class TraceArchive(Protocol):
    """The traces that are written down."""

    async def trace_page(self, query: TraceQuery) -> TracePage:
        """Return one page. Raises `BadRequest` for a cursor of another list, and for the limit."""
        ...

    async def find_trace(self, given: str) -> TraceRow | None:
        """Return the trace with this trace id, stream id, or unique beginning of either."""
        ...

    def export_traces(self, where: TraceFilter) -> AsyncIterator[Sequence[TraceRow]]:
        """Yield all that are wanted, newest first, in bounded batches."""
        ...

    async def delete_traces(self, where: TraceFilter) -> int:
        """Delete all that are wanted, in bounded steps; returns how many there were."""
        ...

    async def delete_trace(self, trace_id: str) -> None:
        """Delete one. Raises `NotFound`."""
        ...

    async def statistics(self, since: float, until: float, step_s: float) -> Statistics:
        """Return what the traces of this span say. Raises `BadRequest` for an impossible span."""
        ...


class PeopleDesk(Protocol):
    """Administrators, bots and access keys."""

    async def find_admin(self, token: str) -> int | None:
        """Return the id of this administrator's token; None for one unknown or revoked.

        A page's session remembers the id: the token itself is asked for once, at the login.
        """
        ...

    async def admin_is_active(self, admin_id: int) -> bool:
        """Whether the administrator's token with this id is there and was not revoked."""
        ...

    # --- bots -----------------------------------------------------------------------------

    async def list_bots(self) -> list[BotRecord]:
        """Return all bots, oldest first."""
        ...

    async def create_bot(self, name: str, *, user_id: str | None) -> Made:
        """Add a bot and return it with its token."""
        ...

    async def rotate_bot_token(self, bot_id: int) -> Made:
        """Give a bot another token; the old one ends its connection."""
        ...

    async def revoke_bot_token(self, bot_id: int) -> BotRecord:
        """Take a bot's token away, which ends its connection."""
        ...

    # --- access keys ----------------------------------------------------------------------

    async def list_keys(self) -> list[KeyRecord]:
        """Return all access keys, oldest first, those that were revoked too."""
        ...

    async def create_key(self, name: str, scope: Scope) -> Made:
        """Add an access key and return it with the key itself."""
        ...

    async def rotate_key(self, key_id: int) -> Made:
        """Replace a key; streams that the old one opened run on."""
        ...

    async def revoke_key(self, key_id: int) -> KeyRecord:
        """Revoke a key for good, which ends its live streams."""
        ...

    async def rescope_key(self, key_id: int, scope: Scope) -> KeyRecord:
        """Give a key another scope."""
        ...


class BindingDesk(Protocol):
    """Tokens with which users are bound to bots."""

    async def list_bindings(self) -> list[BindingRecord]:
        """Return all binding tokens, newest first, those that are used or expired too."""
        ...

    async def create_binding(self, bot_id: int) -> Made:
        """Make a token that binds one user to this bot, once, and expires."""
        ...

    async def delete_binding(self, binding_id: int) -> None:
        """Make a token of no use. What was bound with it stays bound."""
        ...

    async def unbind(self, bot_id: int) -> BotRecord:
        """Part a bot from its user. Nothing happens where it has none."""
        ...


class AdminStore(Protocol):
    """What is written down. Every method of its parts raises `StoreError` where the database fails.

    `NotFound` means that there is nothing with this id, `BadRequest` says what is wrong with
    what was given.
    """

    @property
    def archive(self) -> TraceArchive:
        """What became of each stream."""
        ...

    @property
    def people(self) -> PeopleDesk:
        """Who may do what."""
        ...

    @property
    def bindings(self) -> BindingDesk:
        """Which user asks which bot."""
        ...


class LiveView(Protocol):
    """What is so just now on this node."""

    def live_streams(self) -> list[LiveStream]:
        """Return the streams that are open, oldest first. One pass, no I/O."""
        ...

    def online_bots(self) -> frozenset[int]:
        """Return the bots that are connected here."""
        ...
