"""The store as the composition root sees it: one object, one method for each thing it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from sqlalchemy import text

from relay.admin.people import EVERYTHING, Scope
from relay.admin.trace_row import TraceRow
from relay.clock import Clock, SystemClock
from relay.node.revocations import Standing
from relay.store import access_keys, admin_tokens, bots, trace_queries, traces
from relay.store.admin_traces import TraceArchive
from relay.store.bindings import BindingDesk
from relay.store.engine import Database
from relay.store.models import AccessKey, AdminToken, Bot
from relay.store.people import PeopleDesk
from relay.store.retention import Retention, Swept, sweep
from relay.store.schema import prepare
from relay.store.standing import standing


class Store:
    """An open database whose schema is the newest.

    Every method raises `StoreError` where the database fails. None of them is on a chunk's way.
    """

    __slots__ = ("_clock", "_database", "_used")

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._used: dict[int, float] = {}

    @classmethod
    async def open(cls, url: str, clock: Clock | None = None) -> Store:
        """Open the database at `url`. A SQLite file is made and migrated where it needs to be.

        Raises `StoreError` where another database's schema is behind, or cannot be reached.
        """
        database = Database(url)
        try:
            await prepare(database)
        except BaseException:
            await database.close()
            raise
        return cls(database, clock or SystemClock())

    async def close(self) -> None:
        """Write what is left to write and close all connections."""
        try:
            await self._flush_used()
        finally:
            await self._database.close()

    async def ping(self) -> None:
        """Ask the database for an answer; raises `StoreError` where there is none."""
        async with self._database.read() as session:
            await (await session.connection()).execute(text("SELECT 1"))

    # --- bots -----------------------------------------------------------------------------

    async def add_bot(self, name: str, token: str, *, user_id: str | None = None) -> Bot:
        """Add a bot. Raises `BadRequest` for a bad name and for a user or token that is taken."""
        async with self._database.write() as session:
            return await bots.add(session, name, token, user_id=user_id, now=self._clock.now())

    async def replace_bot_token(self, bot: Bot, token: str) -> None:
        """Give the bot another token."""
        async with self._database.write() as session:
            await bots.replace_token(session, bot, token, now=self._clock.now())

    async def bot_by_token(self, token: str) -> Bot | None:
        """Return the bot that this token belongs to."""
        async with self._database.read() as session:
            return await bots.by_token(session, token)

    async def bot_by_user(self, user_id: str) -> Bot | None:
        """Return the bot that answers this user."""
        async with self._database.read() as session:
            return await bots.by_user(session, user_id)

    async def bot(self, bot_id: int) -> Bot | None:
        """Return the bot with this id."""
        async with self._database.read() as session:
            return await bots.get(session, bot_id)

    async def bots(self) -> list[Bot]:
        """Return all bots, oldest first."""
        async with self._database.read() as session:
            return await bots.everyone(session)

    async def bot_named(self, name_or_id: str) -> Bot:
        """Return a bot. Raises `BadRequest` where it is not one bot's name or id."""
        async with self._database.read() as session:
            return await bots.named(session, name_or_id)

    async def rotate_bot(self, name_or_id: str, token: str) -> Bot:
        """Give the bot another token. Raises `BadRequest` where it is not one bot's name or id."""
        async with self._database.write() as session:
            bot = await bots.named(session, name_or_id)
            await bots.replace_token(session, bot, token, now=self._clock.now())
            return bot

    async def revoke_bot(self, name_or_id: str) -> Bot:
        """Take the bot's token away. Raises `BadRequest` where it is not one bot's name or id."""
        async with self._database.write() as session:
            bot = await bots.named(session, name_or_id)
            await bots.revoke(session, bot, now=self._clock.now())
            return bot

    # --- keys -----------------------------------------------------------------------------

    async def add_access_key(self, name: str, key: str, scope: Scope = EVERYTHING) -> AccessKey:
        """Add an access key. Raises `BadRequest` for a bad name or scope, and a key that exists."""
        now = self._clock.now()
        async with self._database.write() as session:
            return await access_keys.add(session, name, key, scope=scope, now=now)

    async def access_key_by_key(self, key: str) -> AccessKey | None:
        """Return the access key if it is valid; its use is recorded with the next traces."""
        async with self._database.read() as session:
            found = await access_keys.by_key(session, key)
        if found is not None and found.id is not None:
            self.access_key_used(found.id)
        return found

    def access_key_used(self, key_id: int) -> None:
        """Record the use of a key that was looked up before."""
        self._used[key_id] = self._clock.now()

    @property
    def version(self) -> tuple[int, ...]:
        """Another value once something was written; see `Database.version`."""
        return self._database.version

    async def access_keys(self) -> list[AccessKey]:
        """Return all access keys, oldest first, those that were revoked too."""
        async with self._database.read() as session:
            return await access_keys.everyone(session)

    async def rotate_access_key(self, name_or_id: str, key: str) -> AccessKey:
        """Replace a key. Raises `BadRequest` where it is not one key's name or id, or revoked."""
        async with self._database.write() as session:
            row = await access_keys.named(session, name_or_id)
            await access_keys.replace_key(session, row, key)
            return row

    async def rescope_access_key(self, name_or_id: str, scope: Scope) -> AccessKey:
        """Give a key another scope. Raises `BadRequest` as above, and for a bad scope."""
        async with self._database.write() as session:
            row = await access_keys.named(session, name_or_id)
            await access_keys.rescope(session, row, scope)
            return row

    async def revoke_access_key(self, name_or_id: str) -> AccessKey:
        """Revoke a key for good. Raises `BadRequest` where it is not one key's name or id."""
        async with self._database.write() as session:
            row = await access_keys.named(session, name_or_id)
            await access_keys.revoke(session, row, now=self._clock.now())
            return row

    async def add_admin_token(self, token: str) -> AdminToken:
        """Add an administrator's token. Raises `BadRequest` where it is taken."""
        async with self._database.write() as session:
            return await admin_tokens.add(session, token, now=self._clock.now())

    async def admin_tokens(self) -> list[AdminToken]:
        """Return all administrators' tokens, oldest first, those that were revoked too."""
        async with self._database.read() as session:
            return await admin_tokens.everyone(session)

    async def revoke_admin_token(self, admin_id: int) -> AdminToken:
        """Revoke a token, which ends its sessions. Raises `BadRequest` where there is none."""
        async with self._database.write() as session:
            return await admin_tokens.revoke(session, admin_id, now=self._clock.now())

    async def verify_admin(self, token: str) -> bool:
        """Whether this is an administrator's token that was not revoked."""
        async with self._database.read() as session:
            return await admin_tokens.verify(session, token)

    def people_desk(self, restricted: Callable[[], Awaitable[None]] | None = None) -> PeopleDesk:
        """Return where operators keep bots and access keys; see `PeopleDesk` for `restricted`."""
        return PeopleDesk(self._database, self._clock, restricted)

    async def standing(self, key_ids: Sequence[int], bots: Mapping[str, int]) -> Standing:
        """Say which of these access keys and bots' credentials are valid: one look."""
        async with self._database.read() as session:
            return await standing(session, key_ids, bots)

    # --- bindings -------------------------------------------------------------------------

    def binding_desk(self, ttl_s: float) -> BindingDesk:
        """Return where users are bound to bots. A token that it makes lives for `ttl_s`."""
        return BindingDesk(self._database, self._clock, ttl_s)

    # --- traces ---------------------------------------------------------------------------

    @property
    def archive(self) -> TraceArchive:
        """The traces as operators read, export and delete them."""
        return TraceArchive(self._database)

    async def write_traces(self, rows: Sequence[TraceRow]) -> int:
        """Store these rows; returns how many the database would not take.

        Raises `StoreError` where it took none or only some because it is away: write them again.
        """
        lost = await traces.upsert_batch(self._database, rows, now=self._clock.now())
        await self._flush_used()
        return lost

    async def trace(self, trace_id: str) -> TraceRow | None:
        """Return the trace with this id."""
        async with self._database.read() as session:
            return await trace_queries.get(session, trace_id)

    async def sweep(self, retention: Retention) -> Swept:
        """Delete traces, and texts of traces, that are no longer to be kept."""
        return await sweep(self._database, retention, now=self._clock.now())

    async def trace_count(self) -> int:
        """Return how many traces there are."""
        async with self._database.read() as session:
            return await trace_queries.count(session)

    async def _flush_used(self) -> None:
        used, self._used = self._used, {}
        if used:
            async with self._database.write() as session:
                await access_keys.touch(session, used)
