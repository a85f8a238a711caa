"""What is served where. The paths are fixed: operators, SDKs and platforms rely on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route, WebSocketRoute

from relay.clock import Clock
from relay.limits.allowance import allowance_of
from relay.limits.gate import Gate
from relay.limits.refusal import Kind
from relay.settings import Settings
from relay.web.admission import Admission
from relay.web.auth import Directory, Tickets
from relay.web.binding.dialogue import BindingDialogue
from relay.web.cable import CableEndpoint
from relay.web.callers import Callers
from relay.web.channels import Channels
from relay.web.device import DeviceEndpoint
from relay.web.event_stream import EventStreamEndpoint
from relay.web.fast.passes import Passes
from relay.web.metrics import metrics_route
from relay.web.probe import probe_route
from relay.web.sse import Responder
from relay.web.worker_api import WorkerApi

if TYPE_CHECKING:
    from relay.node.node import Node

TICKET_MARGIN_S = 60.0
"""A ticket outlives its stream by this much, so that its reader is told 410 and not 401."""


def web_routes(
    node: Node,
    directory: Directory,
    responder: Responder,
    settings: Settings,
    clock: Clock,
    binding: BindingDialogue | None = None,
    callers: Callers | None = None,
    passes: Passes | None = None,
) -> list[Route | WebSocketRoute]:
    """Return the routes of bots, workers, glasses, plain readers and Prometheus."""
    ticket_s = settings.stream_max_seconds + settings.retention_seconds + TICKET_MARGIN_S
    tickets = Tickets(settings.secret.encode(), ttl_s=ticket_s, now=clock.now)
    gate = Gate(allowance_of(settings), node.metrics.limited)
    limited = Admission(gate, clock.now).before
    worker = WorkerApi(node, directory, tickets, poll_seconds=settings.poll_seconds)
    cable = CableEndpoint(
        channels=Channels(node, directory, clock),
        directory=directory,
        clock=clock,
        allowed_origins=settings.allowed_origins,
        ping_seconds=settings.cable_ping_seconds,
        callers=callers or Callers(),
        gate=gate,
        passes=passes,
    )
    events = EventStreamEndpoint(node, directory, tickets, responder)
    device = DeviceEndpoint(node, directory, responder, binding)
    return [
        WebSocketRoute("/cable", cable),
        Route("/sse/rokid", limited(device, Kind.ASK, device.refuse), methods=["POST"]),
        Route("/api/rokid/trigger", limited(worker.trigger, Kind.ASK), methods=["POST"]),
        Route("/api/rokid/poll", limited(worker.poll, Kind.READ), methods=["GET"]),
        Route(
            "/streams/{stream_id}/events",
            limited(events, Kind.READ, events.refuse),
            methods=["GET", "OPTIONS"],
        ),
        *(() if settings.metrics_port else (metrics_route(node.metrics),)),
        probe_route(),
    ]
