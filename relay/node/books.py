"""Has each stream that has ended traced and counted, off the data path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from relay.broker.base import StreamLog
from relay.metrics import Metrics
from relay.node.figures import count_stream
from relay.node.stream import NodeStream
from relay.node.tracer import Tracer


class Books:
    """Where a node's streams are entered once nothing more is to be learned about them."""

    def __init__(
        self,
        *,
        log: StreamLog,
        tracer: Tracer,
        metrics: Metrics,
        background: Callable[[Awaitable[None]], None],
        with_content: bool,
    ) -> None:
        self._log = log
        self._tracer = tracer
        self._metrics = metrics
        self._background = background
        self._with_content = with_content

    def settled(self, stream: NodeStream) -> None:
        """Have the stream's row written, again where it is amended, and count it once."""
        make = partial(stream.make_row, self._log, with_content=self._with_content)
        self._tracer.submit(stream.record.meta.trace_id, make)
        if not stream.counted:
            # Not with the row: while the store is away, rows wait and may be lost.
            stream.counted = True
            self._background(count_stream(stream, self._log, self._metrics))
