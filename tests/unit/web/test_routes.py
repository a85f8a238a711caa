"""What is served where."""

from __future__ import annotations

import pytest

from tests.unit.web.fakes import Served


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/cable", 404),
        ("GET", "/sse/rokid", 405),
        ("GET", "/api/rokid/trigger", 405),
        ("POST", "/api/rokid/poll", 405),
        ("POST", "/streams/x/events", 405),
        ("GET", "/streams//events", 404),
        ("GET", "/streams/a/b/events", 404),
        ("GET", "/", 404),
    ],
)
async def test_a_path_that_is_not_served_says_so(
    web: Served, method: str, path: str, status: int
) -> None:
    """As Rails, `/cable` without an upgrade is not found; a wrong method is named."""
    assert (await web.http.request(method, path)).status_code == status
