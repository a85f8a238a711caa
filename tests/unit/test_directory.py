"""Who somebody is, as the store knows it."""

from __future__ import annotations

from pathlib import Path

from websockets.asyncio.client import connect

from relay.app import open_relay
from tests.support.relay_app import (
    KEY,
    TOKEN,
    client,
    furnish,
    settings,
)
from tests.unit.web.fakes import QUESTION, Cable, running


async def test_credentials_are_those_of_the_store(tmp_path: Path) -> None:
    """Unknown ones are refused on every way in."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with client(port) as http:
            refused = await http.post(
                "/sse/rokid", json=QUESTION, headers={"Authorization": f"Bearer {TOKEN}"}
            )
            assert refused.headers["Relay-Error"] == "unauthorized"
        url = f"ws://127.0.0.1:{port}/cable?sdk_token={KEY}"
        async with connect(url, proxy=None) as socket:
            assert (await Cable(socket).frame())["reason"] == "unauthorized"
