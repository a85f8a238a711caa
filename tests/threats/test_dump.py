"""What lies in the database, and what comes out of the relay, opens nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import httpx
from websockets.exceptions import ConnectionClosed

from relay.store.secrets import new_admin_token
from relay.store.store import Store
from tests.support.bots import raw_bot
from tests.support.cable import open_cable
from tests.support.glasses import Glasses, question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

CANARY = "canary-0815"
ADMIN = "/admin/api"


async def used(relay: RelayServer) -> tuple[str, str]:
    """Use a relay in every way; returns an administrator's token, and all that it has told."""
    admin = new_admin_token()
    store = await Store.open(f"sqlite+aiosqlite:///{relay.database}")
    await store.add_admin_token(admin)
    await store.close()
    told = ""
    glasses = Glasses(relay.url, relay.key)
    async with (
        raw_bot(relay) as bot,
        glasses.ask(question(relay.bot().user_id)) as answer,
        httpx.AsyncClient(base_url=relay.url, trust_env=False) as http,
    ):
        command = await bot.command()
        await bot.say({"action": "log", "message": f"sdk_token={CANARY}"})
        await bot.answer(command, ["an answer"])
        await answer.read()
        headers = {"Authorization": f"Bearer {admin}"}
        bound = await http.post(f"{ADMIN}/bots/1/binding", headers=headers)
        relay.secrets += [admin, CANARY, command.get("resume") or CANARY]
        wrong = {"Authorization": f"Bearer {CANARY}"}
        for path in ("/streams/x/events", f"/streams/x/events?ticket={CANARY}", f"{ADMIN}/traces"):
            told += (await http.get(path, headers=wrong)).text
        for path in ("/traces", "/traces/export", "/statistics", "/live", "/keys", "/bots"):
            told += (await http.get(f"{ADMIN}{path}", headers=headers)).text
        told += (await http.get("/metrics")).text
        told += (await http.get("/admin/login", headers=wrong)).text
        assert bound.status_code in {200, 201, 404, 405}, bound.text
    return admin, told


def texts(database: Path) -> set[str]:
    """Every text of a dump, whole and in its words: what somebody who has it would try."""
    with closing(sqlite3.connect(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        cells: set[str] = set()
        for name in names:
            with suppress(sqlite3.Error):
                rows = connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - its own names
                cells |= {cell for row in rows for cell in row if isinstance(cell, str)}
    stripped = {cell.strip() for cell in cells}
    return {one for one in stripped if one.isascii() and one.isprintable() and 0 < len(one) < 512}


async def try_all(relay: RelayServer, stolen: set[str]) -> None:
    """Come to every door with each of these."""
    hashes = [text for text in stolen if len(text) == 64]
    assert len(hashes) > 4, "there is something to steal"
    glasses = Glasses(relay.url, "")
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as http:
        for text in stolen:
            headers = {"Authorization": f"Bearer {text}"}
            polled = await http.get("/api/rokid/poll?bot_id=1&session_id=x", headers=headers)
            assert polled.status_code == 401, text
            read = await http.get("/streams/x/events", params={"ticket": text})
            assert read.status_code == 401, text
            for path in ("/traces", "/keys"):
                administered = await http.get(f"{ADMIN}{path}", headers=headers)
                assert administered.status_code in {401, 429}, text
        for text in hashes:
            answer = await glasses.ask_and_read(question(relay.bot().user_id), key=text)
            assert answer.headers["relay-error"] == "unauthorized"
            for name in ("sdk_token", "access_key"):
                with suppress(ConnectionClosed):
                    async with open_cable(f"{relay.cable_url}?{name}={text}") as cable:
                        frame = await cable.wait(lambda _: True)
                        assert frame["reason"] == "unauthorized", text


async def test_no_credential_lies_or_goes_about_and_a_dump_opens_no_door(
    own_relay: RelayServer,
) -> None:
    """Not in a trace, a metric, an answer, the database with its log, or the relay's log.

    And nothing that lies there instead (hashes, prefixes, ids) is one: each is tried as all kinds.
    """
    own_relay.settings |= {"RELAY_REQUESTS_PER_ADDRESS": "0"}
    own_relay.start()
    admin, told = await used(own_relay)
    stolen = texts(own_relay.database)
    assert admin not in stolen
    await try_all(own_relay, stolen)
    own_relay.terminate()
    files = b"".join(path.read_bytes() for path in own_relay.folder.glob("relay.db*"))
    assert b"an answer" in files
    for secret in (*own_relay.seed.secrets, *own_relay.secrets):
        assert secret not in told
        # A file beside the database holds the signing key; that is what `relay.db.key` is for.
        assert secret.encode() not in files
    assert own_relay.complaints() == []
