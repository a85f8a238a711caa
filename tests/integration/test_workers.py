from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.bots import raw_bot, stream_of
from tests.support.cable import open_cable, to_json
from tests.support.glasses import question
from tests.support.incident import load_incident
from tests.support.server import RelayServer

TURN = load_incident()[1]
POLL_S = 0.5


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A poll that a test can wait for."""
    return {"poll_seconds": str(POLL_S)}


@pytest.fixture
async def worker(relay: RelayServer) -> AsyncIterator[httpx.AsyncClient]:
    """A worker's HTTP client, with the access key."""
    headers = {"Authorization": f"Bearer {relay.key}"}
    async with httpx.AsyncClient(
        base_url=relay.url, headers=headers, trust_env=False, timeout=30
    ) as client:
        yield client


async def trigger(worker: httpx.AsyncClient, user_id: str) -> dict[str, Any]:
    """Ask, and return what the relay answers."""
    response = await worker.post("/api/rokid/trigger", json=question(user_id))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def poll(
    worker: httpx.AsyncClient, triggered: dict[str, Any], after: str | None = None
) -> list[dict[str, Any]]:
    """Poll once."""
    response = await worker.get(
        "/api/rokid/poll",
        params={"bot_id": triggered["bot_id"], "session_id": triggered["session_id"]},
        headers={"Last-Event-ID": after} if after else {},
    )
    assert response.status_code == 200, response.text
    objects: list[dict[str, Any]] = response.json()
    return objects


def identifier(relay: RelayServer, triggered: dict[str, Any], **changes: object) -> str:
    """The identifier of a worker's subscription."""
    params = {
        "channel": "RokidStreamChannel",
        "access_key": relay.key,
        "bot_id": triggered["bot_id"],
        "session_id": triggered["session_id"],
    }
    return to_json({**params, **changes})


# --- trigger ------------------------------------------------------------------------------------


async def test_a_trigger_asks_the_bot_and_names_the_stream(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """`bot_id`, the stream's id as `session_id`, and where to read it."""
    async with raw_bot(relay) as bot:
        triggered = await trigger(worker, relay.bot().user_id)
        command = await bot.command()
        await bot.answer(command, ["ok"])
    assert triggered["bot_id"] == relay.bot().bot_id
    assert triggered["status"] == "triggered"
    assert triggered["session_id"] == stream_of(command)
    assert triggered["events_url"].startswith(f"/streams/{triggered['session_id']}/events?ticket=")


@pytest.mark.parametrize(
    ("headers", "changes", "status", "code"),
    [
        ({"Authorization": ""}, {}, 401, "unauthorized"),
        ({"Authorization": "Bearer wrong"}, {}, 401, "unauthorized"),
        ({}, {"message_id": None}, 400, "bad_request"),
        ({}, {"agent_id": None}, 400, "bad_request"),
        ({}, {"message": None}, 400, "bad_request"),
        ({}, {"user_id": "nobody"}, 404, "unbound"),
        ({}, {"user_id": None}, 404, "unbound"),
    ],
)
async def test_a_trigger_that_cannot_be_served_says_why(
    relay: RelayServer,
    worker: httpx.AsyncClient,
    headers: dict[str, str],
    changes: dict[str, object],
    status: int,
    code: str,
) -> None:
    """The reference's status codes, with a code for machines and words for people."""
    body = question(**{"user_id": relay.bot().user_id, **changes})
    response = await worker.post("/api/rokid/trigger", json=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["error"]


# --- poll ---------------------------------------------------------------------------------------


async def test_a_poll_waits_for_news_and_goes_on_behind_the_last_id(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """Each poll brings what came since, once; the last one is empty."""
    got: list[dict[str, Any]] = []
    async with raw_bot(relay) as bot:
        triggered = await trigger(worker, relay.bot().user_id)
        stream_id = stream_of(await bot.command())
        waiting = asyncio.create_task(poll(worker, triggered))
        await bot.chunks(stream_id, TURN.chunks[:30])
        got += await waiting
        while sum(len(o["content"]) for o in got) < sum(map(len, TURN.chunks[:30])):
            got += await poll(worker, triggered, got[-1]["id"])
        for sequence in range(30, 60):
            await bot.chunk(stream_id, sequence, TURN.chunks[sequence])
        await bot.end(stream_id, TURN.chunks)
        while got[-1]["type"] != "stream_end":
            got += await poll(worker, triggered, got[-1]["id"])
        assert await poll(worker, triggered, got[-1]["id"]) == []
    assert [o["content"] for o in got[:-1]] == list(TURN.chunks)
    assert [o["sequence"] for o in got[:-1]] == list(range(60))
    assert {o["session_id"] for o in got} == {triggered["session_id"]}
    assert relay.trace(stream_id)["status"] == "completed"


async def test_a_poll_without_news_ends_empty_after_its_time(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """It neither answers at once, as the reference did, nor waits for ever."""
    async with raw_bot(relay) as bot:
        triggered = await trigger(worker, relay.bot().user_id)
        started = time.monotonic()
        assert await poll(worker, triggered) == []
        took = time.monotonic() - started
        await bot.answer(await bot.command(), ["x"])
    assert POLL_S - 0.05 <= took < POLL_S + 1


async def test_a_poll_understands_the_numbers_of_old_workers(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """A bare offset counts in whichever log there is."""
    async with raw_bot(relay) as bot:
        triggered = await trigger(worker, relay.bot().user_id)
        await bot.answer(await bot.command(), ["a", "b", "c"])
    got = await poll(worker, triggered, "2")
    assert [o["type"] for o in got] == ["stream_chunk", "stream_end"]
    assert got[0]["content"] == "c"


@pytest.mark.parametrize(
    ("params", "headers", "status"),
    [
        ({"session_id": "x"}, {}, 400),
        ({"bot_id": "1"}, {}, 400),
        ({"bot_id": "x", "session_id": "x"}, {}, 400),
        ({"bot_id": "1", "session_id": "unknown"}, {}, 404),
        ({"bot_id": "1", "session_id": "unknown"}, {"Authorization": "Bearer wrong"}, 401),
    ],
)
async def test_a_poll_that_cannot_be_served_says_why(
    worker: httpx.AsyncClient, params: dict[str, str], headers: dict[str, str], status: int
) -> None:
    """Missing fields, an unknown stream, an unknown key."""
    response = await worker.get("/api/rokid/poll", params=params, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]


# --- RokidStreamChannel ---------------------------------------------------------------------------


async def test_a_worker_that_subscribes_late_gets_everything_from_the_start(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """Replay, then live, without a hole: on the reference the head was lost here."""
    async with (
        raw_bot(relay) as bot,
        open_cable(f"{relay.cable_url}?access_key={relay.key}") as cable,
    ):
        triggered = await trigger(worker, relay.bot().user_id)
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, TURN.chunks[:30])
        await bot.acked(stream_id, 30)
        name = identifier(relay, triggered)
        assert (await cable.subscribe(name))["type"] == "confirm_subscription"
        for sequence in range(30, 60):
            await bot.chunk(stream_id, sequence, TURN.chunks[sequence])
        await bot.end(stream_id, TURN.chunks)
        await cable.wait_message("stream_end")
        await cable.perform(name, {"action": "ping"})
        await cable.wait_message("pong")
    kinds = [message["type"] for message in cable.messages()]
    assert kinds == ["connected", *["stream_chunk"] * 60, "stream_end", "pong"]
    assert "".join(m["content"] for m in cable.messages("stream_chunk")) == TURN.text
    assert {m["session_id"] for m in cable.messages("stream_chunk")} == {triggered["session_id"]}
    assert relay.trace(stream_id)["sse_chunk_count"] == 60


async def test_a_worker_may_name_the_conversation(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """Existing workers subscribe with the message id, and see the id that they used."""
    body = question(relay.bot().user_id)
    async with (
        raw_bot(relay) as bot,
        open_cable(f"{relay.cable_url}?access_key={relay.key}") as cable,
    ):
        triggered = (await worker.post("/api/rokid/trigger", json=body)).json()
        name = identifier(relay, triggered, session_id=body["message_id"])
        await cable.subscribe(name)
        await bot.answer(await bot.command(), ["hi"])
        chunk = await cable.wait_message("stream_chunk")
        await cable.wait_message("stream_end")
    assert (chunk["session_id"], chunk["content"]) == (body["message_id"], "hi")


@pytest.mark.parametrize(
    "changes",
    [
        {"access_key": "wrong"},
        {"access_key": None},
        {"bot_id": 999},
        {"session_id": "unknown"},
        {"session_id": ""},
    ],
)
async def test_a_subscription_to_what_is_not_there_is_rejected(
    relay: RelayServer, worker: httpx.AsyncClient, changes: dict[str, object]
) -> None:
    """All three parameters count."""
    async with (
        raw_bot(relay) as bot,
        open_cable(f"{relay.cable_url}?access_key={relay.key}") as cable,
    ):
        triggered = await trigger(worker, relay.bot().user_id)
        answer = await cable.subscribe(identifier(relay, triggered, **changes))
        await bot.answer(await bot.command(), ["x"])
    assert answer["type"] == "reject_subscription"


async def test_a_key_reads_only_what_it_opened(
    relay: RelayServer, worker: httpx.AsyncClient
) -> None:
    """Another key gets neither the channel nor the poll nor the events."""
    other = relay.seed.keys[1]
    headers = {"Authorization": f"Bearer {other}"}
    async with (
        raw_bot(relay) as bot,
        open_cable(f"{relay.cable_url}?access_key={other}") as cable,
    ):
        triggered = await trigger(worker, relay.bot().user_id)
        name = identifier(relay, triggered, access_key=other)
        assert (await cable.subscribe(name))["type"] == "reject_subscription"
        params = {"bot_id": triggered["bot_id"], "session_id": triggered["session_id"]}
        polled = await worker.get("/api/rokid/poll", params=params, headers=headers)
        url = f"/streams/{triggered['session_id']}/events"
        read = await worker.get(url, headers=headers)
        await bot.answer(await bot.command(), ["x"])
    assert (polled.status_code, read.status_code) == (404, 404)
