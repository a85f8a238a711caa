"""A web layer on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.web.fakes import Served, serving


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Served]:
    """The web layer with the short limits of `fakes.SETTINGS`."""
    async with serving() as served:
        yield served
