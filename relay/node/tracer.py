"""The trace of a stream: one row, written when the stream has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import islice
from typing import Protocol

import structlog

from relay.admin.trace_row import TraceRow
from relay.errors import BrokerUnavailable, StoreError


class TraceSink(Protocol):
    """Where trace rows go."""

    async def write_traces(self, rows: Sequence[TraceRow]) -> int:
        """Insert or update the rows by trace id; returns how many could not be stored."""
        ...


MakeRow = Callable[[], Awaitable[TraceRow]]
"""Makes a row when the tracer gets to it, so that nothing is computed on the data path."""

NAMED_MAX = 20
"""How many of the rows that are lost together are named in the log."""

STOP_WITHIN_S = 5.0
"""How long the end of the relay waits for the store."""


class Tracer:
    """Writes trace rows in batches, off the data path.

    `submit` never waits and never fails. Rows that a store does not take because it is away
    (`StoreError`) wait and are written later; what is too much for the backlog, or what the
    store cannot take at all, is lost, and `lost` counts it. Delivery depends on none of it.
    """

    def __init__(
        self,
        sink: TraceSink,
        *,
        batch_rows: int = 500,
        batch_s: float = 0.2,
        backlog_max: int = 10_000,
        retry_s: float = 1.0,
    ) -> None:
        self.lost = 0
        """Rows that will never be stored."""
        self._sink = sink
        self._batch_rows = batch_rows
        self._batch_s = batch_s
        self._backlog_max = backlog_max
        self._backlog: dict[str, MakeRow] = {}
        self._retry_s = retry_s
        self.written: Callable[[Sequence[TraceRow]], None] | None = None
        """Called with the rows that the store has, or will never have."""
        self._news = asyncio.Event()
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._writing = 0
        """Rows that the store is taking just now."""
        self._log = structlog.get_logger("relay.tracer")

    @property
    def backlog(self) -> int:
        """Rows that are not stored yet: waiting, or being written just now."""
        return len(self._backlog) + self._writing

    def submit(self, trace_id: str, make: MakeRow) -> None:
        """Have a row written soon. A newer row of the same trace replaces one that waits."""
        if trace_id not in self._backlog and len(self._backlog) >= self._backlog_max:
            self.lost += 1
            return
        self._backlog[trace_id] = make
        self._news.set()

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="tracer", context=Context())

    async def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Write what waits, then stop. What a store that hangs does not take in time is lost."""
        self._stopping = True
        self._news.set()
        self._ending.set()
        task, self._task = self._task, None
        if task is None:
            return
        try:
            async with asyncio.timeout(within_s):
                await task
        except TimeoutError:
            rows = len(self._backlog) + self._writing
            self.lost += rows
            self._log.error("trace_rows_given_up", rows=rows, trace_ids=_some(self._backlog))

    async def _run(self) -> None:
        while not (self._stopping and not self._backlog):
            await self._news.wait()
            if not self._stopping:
                # Not a wait for something to become true: it lets a batch gather.
                await asyncio.sleep(self._batch_s)
            self._news.clear()
            while self._backlog:
                if await self._write_batch():
                    continue
                if self._stopping:
                    rows = len(self._backlog)
                    self.lost += rows
                    self._log.error(
                        "trace_rows_given_up", rows=rows, trace_ids=_some(self._backlog)
                    )
                    self._backlog.clear()
                else:
                    await self._pause()

    async def _pause(self) -> None:
        """Leave a store that is away alone for a while, or until the relay ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retry_s):
                await self._ending.wait()

    async def _write_batch(self) -> bool:
        """Write one batch; returns False where the store or a log is away and rows wait again."""
        taken = {key: self._backlog.pop(key) for key in list(self._backlog)[: self._batch_rows]}
        rows: list[TraceRow] = []
        away: dict[str, MakeRow] = {}
        for trace_id, make in taken.items():
            try:
                rows.append(await make())
            except BrokerUnavailable:
                away[trace_id] = make
            except Exception:  # noqa: BLE001  # one bad row must not cost the others
                self.lost += 1
                self._log.exception("trace_row_not_made", trace_id=trace_id)
        if away:
            self._log.warning("trace_log_away", rows=len(away), trace_ids=_some(away))
            self._put_back(away)
        if not rows:
            return not away
        self._writing = len(rows)
        try:
            lost = await self._sink.write_traces(rows)
        except StoreError as error:
            self._log.warning("trace_store_away", rows=len(rows), reason=str(error))
            self._writing = 0
            self._put_back({row.trace_id: _made(row) for row in rows})
            return False
        except Exception:  # noqa: BLE001  # whatever the store does, delivery goes on
            lost = len(rows)
            some = _some(row.trace_id for row in rows)
            self._log.exception("trace_rows_not_stored", rows=lost, trace_ids=some)
        self._writing = 0
        self.lost += lost
        if self.written is not None:
            self.written(rows)
        return not away

    def _put_back(self, rows: Mapping[str, MakeRow]) -> None:
        """Let these wait again, in front; a newer row of the same trace has the place already."""
        # The places stay those of the older ones: `|` replaces a value where its key stands.
        self._backlog = dict(rows) | self._backlog


def _some(trace_ids: Iterable[str]) -> list[str]:
    return list(islice(trace_ids, NAMED_MAX))


def _made(row: TraceRow) -> MakeRow:
    async def make() -> TraceRow:
        return row

    return make
