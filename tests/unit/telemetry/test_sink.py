from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from relay.admin.trace_row import TraceRow
from relay.errors import StoreError
from relay.telemetry import sink
from relay.telemetry.sink import SpanSink
from relay.telemetry.spans import StreamSpan
from tests.support.node import NOW, Store

ROW = TraceRow("t1", "s1", "c", "agent", "user", 1, 7, "completed", "completed", NOW)


class Kept:
    """Keeps the spans, or fails."""

    def __init__(self) -> None:
        self.spans: list[StreamSpan] = []
        self.error: Exception | None = None

    def export(self, span: StreamSpan) -> None:
        if self.error is not None:
            raise self.error
        self.spans.append(span)

    async def close(self) -> None:
        """Nothing is queued."""


def row(number: int) -> TraceRow:
    """A row of a trace of its own."""
    return replace(ROW, trace_id=f"t{number}", stream_id=f"s{number}")


async def test_each_row_is_a_span_and_is_stored() -> None:
    """What the store says of lost rows is passed on."""
    kept, store = Kept(), Store(loses=1)
    assert await SpanSink(store, kept).write_traces([row(1), row(2)]) == 1
    assert [span.stream_id for span in kept.spans] == ["s1", "s2"]
    assert store.rows.keys() == {"s1", "s2"}


async def test_a_store_that_is_away_costs_no_span_and_makes_none_twice() -> None:
    """The row comes again, and later amended; its span is out already."""
    kept, store = Kept(), Store(error=StoreError("away"))
    spans = SpanSink(store, kept)
    with pytest.raises(StoreError):
        await spans.write_traces([row(1)])
    store.error = None
    await spans.write_traces([row(1)])
    await spans.write_traces([replace(row(1), status="anomaly")])
    assert len(kept.spans) == 1
    assert store.rows["s1"].status == "anomaly"


async def test_a_span_that_cannot_be_made_costs_no_row() -> None:
    """It is a line in the log, with whose it was."""
    kept, store = Kept(), Store()
    kept.error = TypeError("bug")
    with capture_logs() as logs:
        await SpanSink(store, kept).write_traces([row(1)])
    (line,) = logs
    assert (line["event"], line["stream_id"], line["trace_id"]) == ("span_not_made", "s1", "t1")
    assert store.rows.keys() == {"s1"}


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(sink, "REMEMBERED_MAX", 2)
    kept = Kept()
    spans = SpanSink(Store(), kept)
    await spans.write_traces([row(1), row(2), row(3)])
    await spans.write_traces([row(3), row(2), row(1)])
    assert [span.stream_id for span in kept.spans] == ["s1", "s2", "s3", "s1"]
