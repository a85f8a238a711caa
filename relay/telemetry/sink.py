"""Hands each trace row on as a span, once, on its way to the store."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from relay.admin.trace_row import TraceRow
from relay.logs import get_logger
from relay.node.tracer import TraceSink
from relay.telemetry.spans import StreamSpan, span_of

_logger = get_logger(__name__)

REMEMBERED_MAX: Final = 20_000
"""How many traces are known to have their span: rows come again when a store was away."""


class Spans(Protocol):
    """Where spans go."""

    def export(self, span: StreamSpan) -> None:
        """Queue a span. Never blocks; what is too much is dropped."""
        ...

    async def close(self) -> None:
        """Send what is queued, as far as there is time. Raises nothing."""
        ...


class SpanSink:
    """A `TraceSink` in front of another one.

    A span is made before the row is stored, so a store that is away costs no span. A row that
    is amended later does not change its span: what was exported cannot be taken back.
    """

    def __init__(self, store: TraceSink, spans: Spans) -> None:
        self._store = store
        self._spans = spans
        self._known: OrderedDict[str, None] = OrderedDict()

    async def write_traces(self, rows: Sequence[TraceRow]) -> int:
        """See `TraceSink.write_traces`."""
        for row in rows:
            if row.trace_id not in self._known:
                self._remember(row.trace_id)
                self._export(row)
                # A batch may be large, and chunks of running streams go before it.
                await asyncio.sleep(0)
        return await self._store.write_traces(rows)

    def _export(self, row: TraceRow) -> None:
        try:
            self._spans.export(span_of(row))
        except Exception:
            # A bug of ours must cost a span, and not the row.
            _logger.exception(
                "span_not_made",
                stream_id=row.stream_id,
                trace_id=row.trace_id,
                bot_id=row.bot_id,
            )

    def _remember(self, trace_id: str) -> None:
        self._known[trace_id] = None
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
