"""`async with operator(relay) as api`: who looks into a running relay over its admin API."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.server import RELAY, RelayServer, environment


async def admin_token(relay: RelayServer) -> str:
    """Make an administrator's token, which may be in no log."""
    settings = {"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{relay.database}"}
    process = await asyncio.create_subprocess_exec(
        RELAY, "admin", "token", "--json", env=environment(settings), stdout=PIPE
    )
    output, _ = await process.communicate()
    token: str = json.loads(output)["admin_token"]
    relay.secrets.append(token)
    return token


@asynccontextmanager
async def operator(relay: RelayServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client with such a token."""
    headers = {"Authorization": f"Bearer {await admin_token(relay)}"}
    base = f"{relay.url}/admin/api"
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as client:
        yield client
