"""The route of the metrics."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette

from relay.metrics import Metrics, Now
from relay.web.metrics import metrics_route


async def test_the_figures_are_told_in_the_format_of_prometheus() -> None:
    """200 without a key, with the format's own content type, and never from a cache."""
    app = Starlette(routes=[metrics_route(Metrics(lambda: Now(open_streams=3)))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        response = await client.get("/metrics")
        refused = await client.post("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert response.headers["cache-control"] == "no-store"
    assert "relay_open_streams 3.0" in response.text.splitlines()
    assert refused.status_code == 405
