"""Has each stream that has ended traced and counted, off the data path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from relay.admin.trace_row import TraceRow
from relay.broker.base import StreamLog, settle
from relay.errors import UnknownStream
from relay.metrics import Metrics
from relay.node.background import Undertake
from relay.node.figures import WHOLE_LOG, count_stream
from relay.node.stream import NodeStream
from relay.node.tracer import Tracer
from relay.protocol.events import Entry
from relay.protocol.status import Outcome


class Books:
    """Where a node's streams are entered once nothing more is to be learned about them."""

    def __init__(
        self,
        *,
        log: StreamLog,
        tracer: Tracer,
        metrics: Metrics,
        background: Undertake,
        with_content: bool,
    ) -> None:
        self._log = log
        self._tracer = tracer
        self._metrics = metrics
        self._background = background
        self._with_content = with_content
        self._logger = structlog.get_logger("relay.node")

    def settled(self, stream: NodeStream) -> None:
        """Have the stream's row written, again where it is amended, and count it once."""
        make = partial(make_row, stream, self._log, with_content=self._with_content)
        self._tracer.submit(stream.record.meta.trace_id, make)
        if not stream.counted:
            # Not with the row: while the store is away, rows wait and may be lost.
            stream.counted = True
            self._background(self._enter(stream), **stream.view.names)

    async def _enter(self, stream: NodeStream) -> None:
        assert stream.report is not None
        figures = await count_stream(stream, self._log, self._metrics)
        self._logger.info(
            "stream_ended",
            **stream.view.names,
            outcome=figures.outcome.value,
            received=figures.accepted,
            delivered=figures.delivered,
            missing=sum(missing.chunks for missing in figures.missing),
            refused=stream.report.refused,
        )


async def make_row(stream: NodeStream, log: StreamLog, *, with_content: bool) -> TraceRow:
    """Make the trace row of a stream that has ended from its log and its notes."""
    assert stream.report is not None
    entries: Sequence[Entry] = ()
    try:
        entries = await settle(log.read(stream.stream_id, 0, WHOLE_LOG))
    except UnknownStream:
        if stream.report.outcome is not Outcome.LOST:
            raise
    stream.row_made = True
    return stream.record.row(stream.report, entries, stream.audience, with_content=with_content)
