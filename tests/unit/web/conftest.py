"""A web layer on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.unit.web.fakes import Served, serving


@pytest_asyncio.fixture(params=["on", "off"], ids=["fast", "plain"])
async def web(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """The web layer with the short limits of `fakes.SETTINGS`, on both of its ways to a socket."""
    async with serving(fast_path=request.param) as served:
        yield served
