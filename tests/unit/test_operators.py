"""What operators work with, put together on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from relay.app import open_relay
from relay.settings import Settings


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator at the API of a relay."""
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/relay.db")
    async with open_relay(settings) as relay:
        await relay.store.add_admin_token("adm_test")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(relay.app),
            base_url="http://relay",
            headers={"Authorization": "Bearer adm_test"},
        ) as client:
            yield client


async def test_the_parts_of_the_store_are_those_of_the_api(http: httpx.AsyncClient) -> None:
    """People, bindings, traces and what is live, each from where it really is."""
    bot = (await http.post("/admin/api/bots", json={"name": "Nova"})).json()
    assert bot["secret"]
    bindings = f"/admin/api/bots/{bot['record']['bot_id']}/bindings"
    assert (await http.post(bindings)).status_code == 201
    assert (await http.get("/admin/api/traces")).json()["traces"] == []
    assert (await http.get("/admin/api/live")).json()["streams"] == []


async def test_the_page_stands_beside_the_api(http: httpx.AsyncClient) -> None:
    """Without a session it asks for a login."""
    answer = await http.get("/admin/login")
    assert answer.status_code == 200
    assert "form" in answer.text
    assert (await http.get("/admin/traces", headers={"Authorization": ""})).status_code == 303
