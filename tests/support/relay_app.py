"""A relay in the tests' own process, with one bot and one key; and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

from relay.app import Relay
from relay.settings import Settings
from tests.unit.web.fakes import SETTINGS, Cable

TOKEN, KEY = "canary-sdk-" + "1" * 40, "canary-key-" + "2" * 40
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
EXIT_S = 5.0
"""How long a process may take to end; a guard against hangs, not a target."""


def settings(folder: Path, **changes: object) -> Settings:
    """Settings with a database in this folder."""
    url = f"sqlite+aiosqlite:///{folder / 'relay.db'}"
    return replace(SETTINGS, database_url=url, **changes)  # type: ignore[arg-type]


async def furnish(relay: Relay) -> None:
    """Add the bot and the key that the tests use."""
    await relay.store.add_bot("one", TOKEN, user_id="U1")
    await relay.store.add_access_key("console", KEY)


@asynccontextmanager
async def a_bot(port: int) -> AsyncIterator[Cable]:
    """A bot that is subscribed."""
    url = f"ws://127.0.0.1:{port}/cable?sdk_token={TOKEN}"
    async with connect(url, compression=None, proxy=None) as socket:
        cable = Cable(socket)
        await cable.subscribe(channel="BotChannel", protocol=2)
        while (await cable.frame()).get("type") != "confirm_subscription":
            pass
        yield cable


def client(port: int) -> httpx.AsyncClient:
    """A client of the relay on this port."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=EXIT_S, trust_env=False)
