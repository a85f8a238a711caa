"""The doctor at a relay that runs, at a real database server, and at a real Redis."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.doctor.broker import look_at_broker
from relay.doctor.finding import Finding, Level
from relay.doctor.running import look_at_relay
from relay.doctor.storage import look_at_database
from relay.store.migrate import upgrade
from tests.support.canned import buffering_proxy
from tests.support.postgres import Postgres, postgres_server, postgres_url
from tests.support.redis import running_redis
from tests.support.server import RELAY, RelayServer, environment

__all__ = ["postgres_server", "postgres_url"]


def bad(found: list[Finding]) -> dict[str, str]:
    """What is said of what is not fine, by area."""
    return {f.area: f.what for f in found if f.level in (Level.WARN, Level.FAIL)}


async def test_nothing_is_wrong_with_a_running_relay(relay: RelayServer) -> None:
    """Health, WebSocket, a stream piece by piece, and an answer to the end."""
    found = await look_at_relay(relay.url, relay.key)
    assert bad(found) == {}
    assert {f.area for f in found if f.level is Level.OK} == {"url", "cable", "buffering", "answer"}


async def test_a_proxy_that_buffers_is_found(relay: RelayServer) -> None:
    """It answers as the relay does, only later; nor does it let a WebSocket through."""
    async with buffering_proxy(relay.port) as url:
        found = bad(await look_at_relay(url, relay.key))
    assert found.keys() == {"buffering", "cable"}
    assert "one lump" in found["buffering"]


async def test_a_key_that_is_wrong_is_told(relay: RelayServer) -> None:
    """On the WebSocket and by the answer."""
    found = bad(await look_at_relay(relay.url, "wrong"))
    assert found.keys() == {"cable", "answer"}
    assert "unauthorized" in found["answer"]


def test_the_command_ends_with_what_it_found(relay: RelayServer) -> None:
    """0 for a good relay whose database others write just now."""
    database = f"sqlite:///{relay.database}"
    done = subprocess.run(
        [RELAY, "doctor", "--database", database, "--url", relay.url, "--access-key", relay.key],
        capture_output=True,
        text=True,
        env=environment({"COLUMNS": "200"}),
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pieces came one by one" in done.stdout
    assert relay.key not in done.stdout


@pytest.mark.needs("postgres", "initdb")
async def test_a_database_server_is_looked_at(postgres_url: str) -> None:
    """Without a schema, with it, and with a role that may not write a table."""
    assert bad(await look_at_database(postgres_url)).keys() == {"migrations"}
    await upgrade(postgres_url)
    found = await look_at_database(postgres_url)
    assert bad(found) == {}
    assert "the clock of the database agrees" in [finding.what for finding in found]


@pytest.mark.needs("postgres", "initdb")
async def test_rights_that_are_missing_are_told(
    postgres_server: Postgres, postgres_url: str
) -> None:
    """A role that may read the bots, and no more."""
    await upgrade(postgres_url)
    database = postgres_url.partition("@/")[2].partition("?")[0]
    grants = "CREATE ROLE reader LOGIN; GRANT SELECT ON bots, alembic_version TO reader"
    postgres_server.run("psql", "-d", database, "-c", grants)
    try:
        found = bad(await look_at_database(postgres_url.replace("relay@", "reader@")))
    finally:
        postgres_server.run("psql", "-d", database, "-c", "DROP OWNED BY reader; DROP ROLE reader")
    assert "access_keys" in found["database"]
    assert "bots" in found["database"]
    assert "alembic_version" not in found["database"]


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis as it comes: it keeps nothing, and evicts what it likes."""
    forgetful = ("--appendonly", "no", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with running_redis(tmp_path, *forgetful) as server:
        yield server.url


@pytest.mark.needs("redis-server")
async def test_a_redis_is_looked_at(redis_url: str) -> None:
    """What it may lose, in its own words of configuration."""
    found = await look_at_broker(redis_url)
    assert [(f.level, f.mend.partition(",")[0]) for f in found if f.mend] == [
        (Level.FAIL, "`CONFIG SET maxmemory-policy noeviction`"),
        (Level.WARN, "`CONFIG SET appendonly yes`"),
    ]
    assert found[0].level is Level.OK
