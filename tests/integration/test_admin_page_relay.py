"""The admin page of a real relay: what an operator sees of what happens."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.admin_page import hidden
from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.server import RELAY, RelayServer, environment

WORDS = [f"word{number} " for number in range(60)]


async def new_admin_token(relay: RelayServer) -> str:
    """An administrator's token, which may be in no log."""
    settings = {"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{relay.database}"}
    made = await asyncio.create_subprocess_exec(
        RELAY, "admin", "token", "--json", env=environment(settings), stdout=PIPE
    )
    output, _ = await made.communicate()
    token: str = json.loads(output)["admin_token"]
    relay.secrets.append(token)
    return token


@asynccontextmanager
async def visitor(relay: RelayServer) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without scripts, of somebody who has logged in."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        login = hidden(await client.get("/admin/login"), "login")
        fields = {"login": login, "next": "", "token": await new_admin_token(relay)}
        assert (await client.post("/admin/login", data=fields)).status_code == 303
        yield client


async def test_a_stream_is_seen_while_it_runs_and_its_lost_end_afterwards(
    relay: RelayServer, glasses: Glasses
) -> None:
    """57 of 60: on the live page, then by its stream's id in words, marks and a drawing."""
    lost = {57, 58, 59}
    async with visitor(relay) as page:
        async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
            stream_id = stream_of(await bot.command())
            await bot.chunks(stream_id, WORDS, lost=lost)
            await bot.acked(stream_id, 57)
            live = (await page.get("/admin/live")).text
            assert f'data-stream="{stream_id}"' in live
            await bot.end(stream_id, WORDS)
            await answer.read()
        relay.trace(stream_id)
        found = await page.get("/admin/find", params={"q": stream_id}, follow_redirects=True)
        assert found.status_code == 200
        told = re.sub(r"<[^>]+>", "", found.text.split('class="story')[1].split("</div>")[0])
        assert "57 of 60 chunks reached the device." in told
        assert "3 did not arrive in time from the bot: 57-59, in the last quarter" in told
        assert re.search(r"The end was held 2\.\d s\.", told)
        assert "✕ 57-59 missing" in found.text
        assert found.text.count("missing: never arrived") == 3
        assert "only compared" not in found.text
        assert stream_id not in (await page.get("/admin/live")).text
        assert "57-59" not in (await page.get("/admin")).text


async def test_every_page_of_a_real_store_is_shown(relay: RelayServer) -> None:
    """Each in each order and span: the store speaks SQL there, not Python."""
    async with visitor(relay) as page:
        paths = [f"/admin?span={span}" for span in ("1h", "24h", "7d")]
        orders = ("created", "missing", "chunks", "first_chunk", "delivery")
        paths += [
            f"/admin/traces?sort={one}&dir={way}" for one in orders for way in ("asc", "desc")
        ]
        paths += ["/admin/traces?status=anomaly&span=24h&anomaly=a%25", "/admin/live"]
        for path in [*paths, "/admin/bots", "/admin/keys"]:
            answer = await page.get(path)
            assert answer.status_code == 200, path
            assert "<main" in answer.text


async def test_a_bot_is_made_bound_and_revoked(relay: RelayServer) -> None:
    """As the page's forms do it; the secret opens the relay, until it is revoked."""
    async with visitor(relay) as page:
        csrf = hidden(await page.get("/admin/bots"), "csrf")
        made = await page.post("/admin/bots", data={"csrf": csrf, "name": "made by a form"})
        secret = re.search(r'<output id="secret">([^<]+)</output>', made.text)
        assert secret is not None
        relay.secrets.append(secret[1])
        listed = (await page.get("/admin/bots")).text
        number = re.findall(r'bot_id=(\d+)" title="Its traces">made by a form', listed)[-1]
        bound = await page.post(f"/admin/bots/{number}/binding", data={"csrf": csrf})
        assert "<svg" in bound.text.split("<main")[1]
        gone = await page.post(f"/admin/bots/{number}/revoke", data={"csrf": csrf})
        assert gone.headers["location"] == "/admin/bots?notice=bot_revoked"
        assert (await page.post("/admin/logout", data={"csrf": csrf})).status_code == 303
        assert (await page.get("/admin")).status_code == 303
