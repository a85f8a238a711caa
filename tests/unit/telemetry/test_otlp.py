from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from relay.telemetry import otlp
from relay.telemetry.otlp import OtelSpans
from relay.telemetry.spans import SpanEvent, StreamSpan

STREAM = "00c0ffee" * 4
SPAN = StreamSpan(
    stream_id=STREAM,
    name="invoke_agent",
    start=1_772_157_600.25,
    end=1_772_157_609.5,
    attributes={"gen_ai.response.time_to_first_chunk": 0.5, "relay.chunks.missing": 3},
    events=[SpanEvent("relay.missing", 1_772_157_609.5, {"relay.sequences": [4, 5, 6]})],
    error="chunk_loss",
)


class Stuck(SpanExporter):
    """A receiver that takes a request and never answers, until it is let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.gate.wait(30)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


class Failing(SpanExporter):
    """An exporter that fails in a way that it must not."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no route")

    def shutdown(self) -> None:
        pass


async def exported(*spans: StreamSpan) -> tuple[ReadableSpan, ...]:
    """What arrives of these spans at an exporter."""
    exporter = InMemorySpanExporter()
    target = OtelSpans(exporter)
    for span in spans:
        target.export(span)
    await target.close()
    return exporter.get_finished_spans()


async def test_a_span_arrives_with_its_times_attributes_and_events() -> None:
    """As it was made; an error is one of the span's status."""
    (span,) = await exported(SPAN)
    assert (span.name, span.kind) == ("invoke_agent", SpanKind.CLIENT)
    assert (span.start_time, span.end_time) == (
        1_772_157_600_250_000_000,
        1_772_157_609_500_000_000,
    )
    assert dict(span.attributes or {}) == SPAN.attributes
    (event,) = span.events
    assert (event.name, event.timestamp) == ("relay.missing", span.end_time)
    assert dict(event.attributes or {}) == {"relay.sequences": (4, 5, 6)}
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "chunk_loss")


async def test_a_stream_without_a_fault_has_no_status() -> None:
    """Unset, as the conventions want it where all is well."""
    (span,) = await exported(replace(SPAN, error=None))
    assert span.status.status_code is StatusCode.UNSET


async def test_a_trace_has_the_id_of_its_stream() -> None:
    """Who has one finds the other; an id of another shape gets a random one."""
    first, second, third = await exported(
        SPAN, replace(SPAN, stream_id="f" * 32), replace(SPAN, stream_id="stream-" + "x" * 25)
    )
    ids = [span.context.trace_id if span.context else 0 for span in (first, second, third)]
    assert f"{ids[0]:032x}" == STREAM
    assert f"{ids[1]:032x}" == "f" * 32
    assert ids[2] not in (0, *ids[:2])


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "relay"),
        ({"OTEL_SERVICE_NAME": "glasses"}, "glasses"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=other"}, "other"),
    ],
)
async def test_the_service_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str
) -> None:
    """And has a name where it says none."""
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    (span,) = await exported(SPAN)
    assert span.resource.attributes["service.name"] == name


async def test_a_receiver_that_hangs_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten queues full of spans are taken at once, and the end does not wait for it for long."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setattr(otlp, "CLOSE_S", 0.05)
    exporter = Stuck()
    spans = OtelSpans(exporter)
    began = time.monotonic()
    for _ in range(160):
        spans.export(SPAN)
    assert await asyncio.to_thread(exporter.asked.wait, 10)
    await spans.close()
    assert time.monotonic() - began < 10
    exporter.gate.set()


async def test_an_exporter_that_fails_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised where a stream is settled, nor at the end."""
    spans = OtelSpans(Failing())
    spans.export(SPAN)
    await spans.close()
    assert "no route" in caplog.text
