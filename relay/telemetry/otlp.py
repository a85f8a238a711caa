"""OpenTelemetry's SDK, and its exporter of OTLP over HTTP.

Where to, with which headers, how many at once: the SDK reads the standard `OTEL_*` variables
itself. Its queue is bounded and emptied by a thread of its own, so an exporter that hangs costs
spans and nothing else; what it has to say, it logs.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from relay.telemetry.spans import StreamSpan

SERVICE: Final = "relay"
UNNAMED: Final = "unknown_service"
"""What the SDK calls a service that nobody named."""

CLOSE_S: Final = 5.0
"""How long the end of the relay waits for spans to be sent."""

_TRACE_ID_CHARS: Final = 32


class StreamIds(RandomIdGenerator):
    """Gives the next trace the id of a stream, so that whoever has the one finds the other."""

    def __init__(self) -> None:
        self.stream_id = ""

    def generate_trace_id(self) -> int:
        """Return the stream's id as a number; a random one where it has another shape."""
        try:
            number = int(self.stream_id, 16) if len(self.stream_id) == _TRACE_ID_CHARS else 0
        except ValueError:
            number = 0
        return number or super().generate_trace_id()


class OtelSpans:
    """`Spans` for OpenTelemetry. Raises `ValueError` where an `OTEL_*` variable is malformed."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._ids = StreamIds()
        self._provider = TracerProvider(
            resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer: Tracer = self._provider.get_tracer("relay")

    def export(self, span: StreamSpan) -> None:
        """See `Spans.export`. To be called from one thread."""
        self._ids.stream_id = span.stream_id
        started = self._tracer.start_span(
            span.name,
            kind=SpanKind.CLIENT,
            attributes=span.attributes,
            start_time=_nanoseconds(span.start),
        )
        for event in span.events:
            started.add_event(event.name, event.attributes, _nanoseconds(event.at))
        if span.error is not None:
            started.set_status(Status(StatusCode.ERROR, span.error))
        started.end(_nanoseconds(span.end))

    async def close(self) -> None:
        """See `Spans.close`."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            # The loop may be closed by then: nobody waits for a receiver that hangs.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        # Not in the loop's pool of threads, whose end would wait for this one.
        threading.Thread(target=shut_down, name="otel-shutdown", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await done.wait()


def _resource() -> Resource:
    named = Resource.create()
    if str(named.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
        return named.merge(Resource({SERVICE_NAME: SERVICE}))
    return named


def _nanoseconds(at: float) -> int:
    return round(at * 1e6) * 1000  # a float has no more of a time of our days
