"""The relay put together, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from relay.admin.trace_row import TraceRow
from relay.app import open_relay
from relay.clock import ManualClock
from relay.errors import StoreError
from relay.store.store import Store
from tests.support.redis import RedisServer, new_prefix, redis_server
from tests.support.relay_app import (
    AUTHORIZATION,
    EXIT_S,
    a_bot,
    client,
    furnish,
    settings,
)
from tests.support.store import trace_row
from tests.unit.web.fakes import QUESTION, answer, eventually, running, texts

__all__ = ["redis_server"]

REDIS_SLOW_MS = 300
"""How long Redis executes no write."""


async def test_the_parts_fit_together(tmp_path: Path) -> None:
    """A question goes to the bot of its user, the answer to the device, the row to the store."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with a_bot(port) as bot, client(port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            command = await bot.until("execute_command")
            metadata = command["metadata"]
            assert isinstance(metadata, dict)
            session_id = metadata["session_id"]
            await bot.perform(
                type="stream_chunk", session_id=session_id, sequence=0, content="hello"
            )
            await bot.perform(type="stream_end", session_id=session_id, total_chunks=1)
            response = await asking
        assert texts(response.text) == ["hello", ""]
        async with asyncio.timeout(EXIT_S):
            while not await relay.store.trace_count():  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.01)
        row = await relay.store.archive.find_trace(str(session_id))
        assert row is not None
        assert (row.stream_id, row.outcome, row.sse_content) == (session_id, "completed", "hello")
        # What the sweep keeps when it deletes the two texts (docs/traces.md).
        assert "hello" not in str(replace(row, sdk_content="", sse_content=""))


async def test_every_request_of_an_address_counts_but_health_probes(tmp_path: Path) -> None:
    """Figures, pages, wrong methods and what is not there; each once, and each refused alike."""
    paths = ("/metrics", "/admin/login", "/nowhere", "/sse/rokid", "/admin/api/openapi.json")
    limited = settings(tmp_path, requests_per_address=2)
    clock = ManualClock(1_000_000.0)
    async with (
        open_relay(limited, clock=clock) as relay,
        running(relay.app) as port,
        client(port) as http,
    ):
        statuses = [(await http.get(path)).status_code for path in paths]
        polled = [(await http.get("/api/rokid/poll")).status_code for _ in range(5)]
        refused = [await http.get(path) for path in paths]
        probed = [(await http.get(path)).status_code for path in ("/healthz", "/readyz") * 6]
    assert statuses == [200, 200, 404, 405, 401]
    assert polled == [401] * 5
    assert [answer.status_code for answer in refused] == [429] * len(paths)
    assert {answer.json()["limit"] for answer in refused} == {"requests_per_address"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert probed == [200] * 12


async def test_old_traces_are_swept_as_the_settings_ask(tmp_path: Path) -> None:
    """While the relay runs; the metrics tell."""
    often = settings(tmp_path, trace_ttl_seconds=10.0, sweep_seconds=0.1)
    async with open_relay(often) as relay:
        await relay.store.write_traces(
            [trace_row(1), replace(trace_row(2), created_at=time.time())]
        )
        deleted = b'relay_traces_deleted_total{reason="age"} 1.0'
        async with asyncio.timeout(EXIT_S):
            while deleted not in relay.node.metrics.render():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        assert await relay.store.trace("trace-1") is None
        assert await relay.store.trace("trace-2") is not None


async def test_a_relay_is_ready_until_it_drains(tmp_path: Path) -> None:
    """`/readyz` names the part that is not ready; `/healthz` goes on."""
    async with (
        open_relay(settings(tmp_path)) as relay,
        running(relay.app) as port,
        client(port) as http,
    ):
        assert (await http.get("/readyz")).status_code == 200
        await relay.drain(0)
        unready = await http.get("/readyz")
        assert unready.status_code == 503
        assert unready.json()["reasons"] == {"relay": "the relay is draining"}
        assert (await http.get("/healthz")).status_code == 200


async def test_a_database_that_fails_makes_the_relay_unready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer does not say what the driver said."""

    async def ping(_store: object) -> None:
        raise StoreError("secret path")

    monkeypatch.setattr("relay.store.store.Store.ping", ping)
    async with (
        open_relay(settings(tmp_path)) as relay,
        running(relay.app) as port,
        client(port) as http,
    ):
        unready = await http.get("/readyz")
    assert unready.json()["reasons"] == {"database": "the database does not answer"}


async def test_a_drain_lets_a_stream_finish(tmp_path: Path) -> None:
    """Its bot stays connected until the answer is whole, and the drain ends with it."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with a_bot(port) as bot, client(port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            metadata = (await bot.until("execute_command"))["metadata"]
            assert isinstance(metadata, dict)
            await eventually(lambda: relay.responder.open_count == 1)
            draining = asyncio.create_task(relay.drain(EXIT_S * 10))
            await eventually(lambda: relay.draining)
            await answer(bot, str(metadata["session_id"]), "whole")
            assert texts((await asking).text) == ["whole", ""]
            await asyncio.wait_for(draining, EXIT_S)


async def test_a_drain_ends_what_is_still_open_in_words(tmp_path: Path) -> None:
    """After its time the device reads an end, and its bot is asked to come back."""
    async with open_relay(settings(tmp_path)) as relay, running(relay.app) as port:
        await furnish(relay)
        async with a_bot(port) as bot, client(port) as http:
            asking = asyncio.create_task(
                http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
            )
            await bot.until("execute_command")
            await relay.drain(0.05)
            response = await asking
            assert texts(response.text)[0].startswith("This answer was stopped.")
            while (farewell := await bot.frame()).get("type") != "disconnect":
                pass
        assert farewell == {"type": "disconnect", "reason": "server_restart", "reconnect": True}
        assert relay.responder.open_count == 0


async def test_nothing_runs_on_after_a_relay_is_closed(tmp_path: Path) -> None:
    """No task, no open stream: the tracer has written what was there."""
    before = len(asyncio.all_tasks())
    async with open_relay(settings(tmp_path)) as relay:
        await furnish(relay)
    await eventually(lambda: len(asyncio.all_tasks()) == before)


@pytest.mark.needs("redis-server")
async def test_a_relay_that_ends_leaves_no_stream_whose_trace_it_wrote(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last rows are written behind its drain, while Redis is slow; nobody traces them again."""
    prefix = new_prefix()
    on_redis = settings(tmp_path, broker_url=redis_server.url, redis_prefix=prefix)
    with Redis.from_url(redis_server.url) as redis:
        write_traces = Store.write_traces

        async def write_and_slow_down(store: Store, rows: Sequence[TraceRow]) -> int:
            lost = await write_traces(store, rows)
            redis.client_pause(REDIS_SLOW_MS, all=False)
            return lost

        monkeypatch.setattr(Store, "write_traces", write_and_slow_down)
        async with open_relay(on_redis) as relay:
            await furnish(relay)
            async with running(relay.app) as port, a_bot(port) as bot, client(port) as http:
                asking = asyncio.create_task(
                    http.post("/sse/rokid", json=QUESTION, headers=AUTHORIZATION)
                )
                metadata = (await bot.until("execute_command"))["metadata"]
                assert isinstance(metadata, dict)
                (owned,) = redis.keys(f"*{prefix}:*:owned:*")
                await answer(bot, str(metadata["session_id"]), "whole")
                assert texts((await asking).text) == ["whole", ""]
        assert not redis.exists(owned)
