"""What is kept of traces, and for how long: the sweep that deletes the rest, and who runs it.

The content of a trace is its two texts, `sdk_content` and `sse_content`: what the bot answered and
what the device was shown. It goes first. The rest (counts, times, sequences, ids, and what a failed
bot said of its failure) goes with the trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Final

import sqlalchemy
from sqlalchemy import ColumnElement, Update, func, literal, literal_column, tuple_
from sqlalchemy.sql.dml import Delete
from sqlmodel import col

from relay.errors import StoreError
from relay.logs import get_logger
from relay.store.engine import Database
from relay.store.models import ROW_ID, StreamTrace, UtcTime, moment
from relay.store.trace_cursor import CREATED, NUMBER
from relay.store.trace_steps import Pause, breathe, changed, steps

SWEEP_ROWS_MAX: Final = 50_000
"""How many rows of each kind one sweep deletes; it says so where there are more."""

PAGES_MAX: Final = 4096
"""How many free pages of SQLite's file one sweep gives back to the disk: 16 MiB."""

MORE_S: Final = 1.0
"""How soon the next sweep comes then."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept; 0 is for ever, and without a limit."""

    trace_ttl_s: float
    content_ttl_s: float
    bytes_max: int
    """Of all traces together, as `size_bytes` counts them."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did."""

    expired: int = 0
    """Traces that were deleted because of their age."""
    crowded_out: int = 0
    """Traces that were deleted because all together were too large: the oldest ones."""
    blanked: int = 0
    """Traces whose texts were deleted."""
    more: bool = False
    """Whether there was more than one sweep does."""


async def sweep(
    database: Database,
    retention: Retention,
    *,
    now: float,
    rows_max: int = SWEEP_ROWS_MAX,
    pause: Pause = breathe,
) -> Swept:
    """Delete what is no longer to be kept, in steps of their own transactions.

    Any number of relays may sweep one database at once: each leaves alone what another is at, and
    what is too much is decided by age, so that all delete no more than one would.

    Raises `StoreError`.
    """
    old = moment(now - retention.trace_ttl_s)
    stale = moment(now - retention.content_ttl_s)
    remove = sqlalchemy.delete(StreamTrace)
    sweeper = _Sweeper(database, rows_max, pause)
    # Nobody has needed them since the last sweep. What this one frees will be, until the next.
    idle = min(await database.free_pages(), PAGES_MAX)
    expired = crowded_out = blanked = 0
    if retention.trace_ttl_s:
        expired = await sweeper.change(remove, [old > CREATED])
    if retention.content_ttl_s:
        # Spelled out as in its index: by a parameter no database would see that the index fits.
        with_content = col(StreamTrace.content_bytes) > literal_column("0")
        blanked = await sweeper.change(_blanked(), [stale > CREATED, with_content])
    if retention.bytes_max and (last := await _too_much(database, retention.bytes_max)) is not None:
        crowded_out = await sweeper.change(remove, [last])
    await database.give_back(idle)
    # SQLite's log keeps what was in a page before, until it is written over.
    await database.empty_wal()
    return Swept(expired, crowded_out, blanked, sweeper.more)


class _Sweeper:
    """Changes rows, oldest first, a step at a time."""

    def __init__(self, database: Database, rows_max: int, pause: Pause) -> None:
        self.more = False
        self._database = database
        self._rows_max = rows_max
        self._pause = pause

    async def change(
        self, statement: Update | Delete, wanted: Sequence[ColumnElement[bool]]
    ) -> int:
        done = seen = 0
        async for numbers in steps(self._database, wanted, newest_first=False):
            # What another relay deletes just now, or the tracer writes again, is left for later.
            free = sqlalchemy.select(NUMBER).where(NUMBER.in_(numbers), *wanted)
            free = free.with_for_update(skip_locked=True)
            async with self._database.write() as session:
                done += await changed(session, statement.where(NUMBER.in_(free)))
            await self._pause()
            seen += len(numbers)
            if seen >= self._rows_max:
                self.more = True
                break
        return done


def _blanked() -> Update:
    size, content = col(StreamTrace.size_bytes), col(StreamTrace.content_bytes)
    return sqlalchemy.update(StreamTrace).values(
        sdk_content="", sse_content="", size_bytes=size - content, content_bytes=0
    )


async def _too_much(database: Database, bytes_max: int) -> ColumnElement[bool] | None:
    """Return what holds of the oldest traces, without which the others are at most so large."""
    size = col(StreamTrace.size_bytes)
    newest_first = (CREATED.desc(), NUMBER.desc())
    running = func.sum(size).over(order_by=newest_first).label("running")
    traces = sqlalchemy.select(CREATED, NUMBER, running).subquery()
    first = (
        sqlalchemy.select(traces.c.created_at, traces.c.id)
        .where(traces.c.running > bytes_max)
        .order_by(traces.c.created_at.desc(), traces.c.id.desc())
        .limit(1)
    )
    async with database.read() as session:
        connection = await session.connection()
        if (
            (await connection.execute(sqlalchemy.select(func.sum(size)))).scalar() or 0
        ) <= bytes_max:
            return None
        row = (await connection.execute(first)).one_or_none()
    if row is None:
        return None
    place = tuple_(literal(row.created_at, UtcTime()), literal(row.id, ROW_ID))
    return tuple_(CREATED, NUMBER) <= place


class Janitor:
    """Sweeps again and again, off the data path, and lives on when the store is away."""

    def __init__(
        self,
        sweep: Callable[[], Awaitable[Swept]],
        *,
        every_s: float,
        report: Callable[[Swept], None],
    ) -> None:
        self._sweep = sweep
        self._every_s = every_s
        self._report = report
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger(__name__)

    def start(self) -> None:
        """Begin, with a sweep."""
        self._task = asyncio.create_task(self._run(), name="janitor", context=Context())

    async def stop(self) -> None:
        """Stop, also in the midst of a sweep; the next one, at another start, does the rest."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            swept = await self._once()
            await asyncio.sleep(MORE_S if swept.more else self._every_s)

    async def _once(self) -> Swept:
        swept = Swept()
        try:
            swept = await self._sweep()
        except StoreError as error:
            self._log.warning("traces_not_swept", reason=str(error))
        except Exception:  # noqa: BLE001 - whatever a sweep does, the next one is tried
            self._log.exception("traces_not_swept")
        else:
            self._report(swept)
            counts = {
                "expired": swept.expired,
                "crowded_out": swept.crowded_out,
                "blanked": swept.blanked,
            }
            if any(counts.values()):
                self._log.info("traces_swept", **counts)
        return swept
