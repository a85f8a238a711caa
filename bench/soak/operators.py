"""The operators of the soak: they look, watch, log in, and give and take keys."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from random import Random

import httpx

from bench.soak.ledger import Ledger

_FIELD = re.compile(r'name="login" value="([^"]*)"')


class Operator:
    """One administrator: `await one()` is one round of what such a person does."""

    def __init__(self, http: httpx.AsyncClient, token: str, rng: Random, ledger: Ledger) -> None:
        self._http = http
        self._token = token
        self._auth = {"Authorization": f"Bearer {token}"}
        self._rng = rng
        self._ledger = ledger

    async def one(self) -> None:
        """Do one round; raises nothing but what ends the task."""
        way = self._rng.choice((self._look, self._watch, self._browse, self._keys))
        name = f"operator {way.__name__.strip('_')}"
        self._ledger.count(name)
        try:
            async with asyncio.timeout(30):
                await way()
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            self._ledger.met(name, error)

    async def _get(self, path: str) -> httpx.Response:
        return self._checked(await self._http.get(path, headers=self._auth))

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            self._ledger.is_wrong(f"{answer.request.url.path} was {answer.status_code}")
        return answer

    async def _look(self) -> None:
        traces = await self._get("/admin/api/traces?order=missing&limit=20")
        for row in traces.json()["traces"][:3]:
            # It may have been swept since.
            await self._http.get(f"/admin/api/traces/{row['trace_id']}", headers=self._auth)
        for path in ("statistics", "live", "bots", "keys", "traces/export?format=csv"):
            await self._get(f"/admin/api/{path}")

    async def _watch(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._rng.uniform(0.5, 8.0)):
                async with self._http.stream(
                    "GET", "/admin/api/live/events", headers=self._auth
                ) as response:
                    async for _ in response.aiter_lines():
                        pass

    async def _browse(self) -> None:
        base = self._http.base_url
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=20) as http:
            form = _FIELD.search((await http.get("/admin/login")).text)
            assert form is not None
            data = {"login": form[1], "token": self._token}
            self._checked(await http.post("/admin/login", data=data))
            for path in ("", "/traces", "/live", "/bots", "/keys"):
                self._checked(await http.get(f"/admin{path}", follow_redirects=True))

    async def _keys(self) -> None:
        name = f"soak-{self._rng.randrange(1 << 32):08x}"
        made = await self._http.post("/admin/api/keys", json={"name": name}, headers=self._auth)
        key_id = self._checked(made).json()["record"]["key_id"]
        for verb in ("rotate", "revoke"):
            self._checked(
                await self._http.post(f"/admin/api/keys/{key_id}/{verb}", headers=self._auth)
            )
