"""`GET /metrics`: open to whoever reaches the port, as Prometheus expects it.

It tells how much the relay does and nothing about whom. A proxy that should not show that
keeps the path to itself (docs/metrics.md).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.metrics import CONTENT_TYPE, Metrics


def metrics_route(metrics: Metrics) -> Route:
    """Return the route."""

    async def show(_request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE}
        return Response(metrics.render(), headers=headers)

    return Route("/metrics", show, methods=["GET"])
