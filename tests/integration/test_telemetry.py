"""A relay that exports spans to a receiver of the tests' own, by real OTLP over HTTP."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.server import RELAY, RelayServer, environment

WAIT_S = 20.0


class Receiver:
    """An OTLP/HTTP receiver: what it was sent, and with which answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests: Queue[tuple[str, ExportTraceServiceRequest]] = Queue()
        self.headers: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.headers.append(dict(self.headers.items()))
                receiver.requests.put((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        """Take requests for the length of the block."""
        thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()

    def next_request(self) -> ExportTraceServiceRequest:
        """The next request; waits for it."""
        path, request = self.requests.get(timeout=WAIT_S)
        assert path == "/v1/traces"
        return request


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes what it is sent."""
    with Receiver().running() as receiver:
        yield receiver


def exporting(relay: RelayServer, receiver: Receiver, *, delay_ms: int = 50) -> None:
    """Start a relay that exports to this receiver."""
    relay.settings |= {
        "RELAY_OTEL": "on",
        "RELAY_BARRIER_SECONDS": "0.2",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=glasses",
        "OTEL_BSP_SCHEDULE_DELAY": str(delay_ms),
    }
    relay.start()


def value(span: Span, name: str) -> object:
    """An attribute of a span; None where it has none of this name."""
    for attribute in span.attributes:
        if attribute.key == name:
            kind = attribute.value.WhichOneof("value")
            return getattr(attribute.value, kind) if kind else None
    return None


async def test_each_stream_arrives_as_a_span(own_relay: RelayServer, receiver: Receiver) -> None:
    """One whole, one that lost a chunk; with the ids by which all else is found."""
    exporting(own_relay, receiver)
    glasses = Glasses(own_relay.url, own_relay.key)
    asked = question(own_relay.bot().user_id)
    own_relay.secrets.append("a private word")
    async with raw_bot(own_relay) as bot:
        async with glasses.ask(asked) as answer:
            whole = stream_of(await bot.command(0))
            await bot.answer(await bot.command(0), ["a private word", " and more"])
            await answer.read()
        request = receiver.next_request()
        async with glasses.ask(asked) as answer:
            lossy = stream_of(await bot.command(1))
            await bot.chunks(lossy, "abc", lost=(1,))
            await bot.end(lossy, "abc")
            await answer.read()
        other = receiver.next_request()
    (resource,) = request.resource_spans
    (name,) = [
        a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
    ]
    (good,), (bad,) = (r.resource_spans[0].scope_spans[0].spans for r in (request, other))
    assert name == "relay"
    assert receiver.headers[0]["x-tenant"] == "glasses"
    assert [span.trace_id.hex() for span in (good, bad)] == [whole, lossy]
    row = own_relay.trace(whole)
    assert value(good, "relay.trace.id") == row["trace_id"]
    assert value(good, "gen_ai.operation.name") == "invoke_agent"
    first = value(good, "gen_ai.response.time_to_first_chunk")
    assert first == pytest.approx(row["first_chunk_delay"] / 1000)
    assert good.status.code == Status.STATUS_CODE_UNSET
    assert 0 < good.end_time_unix_nano - good.start_time_unix_nano < 20e9
    assert (bad.status.code, bad.status.message) == (Status.STATUS_CODE_ERROR, "chunk_loss")
    assert value(bad, "relay.chunks.missing") == 1
    assert {"relay.hold", "relay.missing"} <= {event.name for event in bad.events}
    assert b"private" not in request.SerializeToString()


async def test_what_is_queued_is_sent_before_the_relay_ends(
    own_relay: RelayServer, receiver: Receiver
) -> None:
    """The next export would be a minute away; a clean end brings it forward."""
    exporting(own_relay, receiver, delay_ms=60_000)
    shown = await Glasses(own_relay.url, own_relay.key).ask_and_read(question("nobody"))
    own_relay.trace(shown.stream_id)
    with pytest.raises(Empty):
        receiver.requests.get_nowait()
    assert own_relay.terminate() == 0
    (span,) = receiver.next_request().resource_spans[0].scope_spans[0].spans
    assert span.trace_id.hex() == shown.stream_id


@pytest.mark.parametrize("status", [400, 503])
async def test_a_receiver_that_refuses_costs_no_answer(own_relay: RelayServer, status: int) -> None:
    """The log says so, the traces are there, and the relay ends as it should."""
    with Receiver(status).running() as receiver:
        exporting(own_relay, receiver)
        glasses = Glasses(own_relay.url, own_relay.key)
        shown = await glasses.ask_and_read(question("nobody"))
        receiver.next_request()
        again = await glasses.ask_and_read(question("nobody"))
        own_relay.trace(shown.stream_id)
        own_relay.trace(again.stream_id)
        assert own_relay.terminate() == 0
    assert "span" in own_relay.log.lower()
    assert own_relay.complaints() == []


def test_a_malformed_variable_is_an_error_of_the_settings(own_relay: RelayServer) -> None:
    """In one line, with the exit code of settings."""
    done = subprocess.run(
        [RELAY, "serve", "--port", "0", "--database", f"sqlite:///{own_relay.folder}/relay.db"],
        env=environment({"RELAY_OTEL": "on", "OTEL_BSP_MAX_QUEUE_SIZE": "1"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("relay: RELAY_OTEL='on'")
