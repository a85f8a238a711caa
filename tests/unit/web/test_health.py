"""Health and readiness."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from relay.web import health


async def fine() -> str | None:
    """A part that works."""
    return None


async def draining() -> str | None:
    """A part that says why it is not ready."""
    return "draining"


async def broken() -> str | None:
    """A part whose failure quotes a secret."""
    raise ConnectionError("postgresql://user:password@host/db")


async def stuck() -> str | None:
    """A part that never answers."""
    await asyncio.get_running_loop().create_future()
    return None


async def get(path: str, **checks: health.Check) -> httpx.Response:
    """One request to the two routes with these checks."""
    app = Starlette(routes=[*health.health_routes(checks)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        return await client.get(path)


async def test_a_relay_that_answers_is_healthy_even_where_a_part_is_not() -> None:
    """`/healthz` asks no part."""
    response = await get("/healthz", database=broken)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_a_relay_is_ready_where_every_part_is() -> None:
    """All checks pass: 200."""
    response = await get("/readyz", database=fine, broker=fine)
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_a_relay_that_is_not_ready_says_why() -> None:
    """503 with one reason per part, and only for those that are not ready."""
    response = await get("/readyz", database=fine, relay=draining)
    assert response.status_code == 503
    assert response.json() == {"status": "unready", "reasons": {"relay": "draining"}}


async def test_a_failure_is_told_without_its_message() -> None:
    """A driver's message may hold the address and its password."""
    response = await get("/readyz", database=broken)
    assert response.json()["reasons"] == {"database": "ConnectionError"}


async def test_a_part_that_does_not_answer_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check has a deadline, so that `/readyz` always answers."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)
    response = await get("/readyz", database=stuck)
    assert response.json()["reasons"] == {"database": "no answer within 0.01 s"}
