from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from httpx_sse import aconnect_sse

from tests.support.bots import RawBot, raw_bot, stream_of
from tests.support.glasses import Answer, Glasses, question
from tests.support.incident import load_incident
from tests.support.node_clients import node_client
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer
from tests.support.wire import Wire

pytestmark = BOTH_PATHS

TURN = load_incident()[1]
RETENTION_S = 3.0


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A retention that a test can wait for."""
    return {"retention_seconds": str(RETENTION_S)}


@asynccontextmanager
async def triggered(relay: RelayServer) -> AsyncIterator[tuple[RawBot, str, str]]:
    """A question that a worker asked: the bot, the stream, and the address with its ticket."""
    async with raw_bot(relay) as bot:
        async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
            response = await client.post(
                "/api/rokid/trigger",
                json=question(relay.bot().user_id),
                headers={"Authorization": f"Bearer {relay.key}"},
            )
        url: str = response.json()["events_url"]
        relay.secrets.append(url.partition("ticket=")[2])
        yield bot, stream_of(await bot.command()), url


async def send(bot: RawBot, stream_id: str, start: int, stop: int) -> None:
    """Send these chunks of the incident, and its end where they are the last."""
    for sequence in range(start, stop):
        await bot.chunk(stream_id, sequence, TURN.chunks[sequence])
    await bot.acked(stream_id, stop)
    if stop == len(TURN.chunks):
        await bot.end(stream_id, TURN.chunks)


def contents(answer: Answer) -> list[str]:
    """What the chunks of a plain stream say."""
    return [e.data["content"] for e in answer.events if e.data["type"] == "stream_chunk"]


# --- one read of one log --------------------------------------------------------------------------


async def test_replay_and_live_are_one_stream(relay: RelayServer, glasses: Glasses) -> None:
    """30 chunks before the reader came and 30 after: 60, each with an id that only grows."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 30)
        async with glasses.follow(url) as reader:
            await reader.until(lambda reader: len(reader.events) == 30)
            await send(bot, stream_id, 30, 60)
            await reader.read()
    assert contents(reader) == list(TURN.chunks)
    end = reader.events[-1].data
    assert (end["type"], end["outcome"], end["total_chunks"]) == ("stream_end", "completed", 60)
    epochs = {event.id.partition(".")[0] for event in reader.events}
    offsets = [int(event.id.partition(".")[2]) for event in reader.events]
    assert len(epochs) == 1
    assert offsets == sorted(set(offsets))
    assert reader.comments[0] == f"stream {stream_id}"
    assert reader.headers["relay-stream-id"] == stream_id


@pytest.mark.parametrize("way", ["header", "last_event_id", "lastEventId"])
async def test_a_reader_goes_on_behind_its_position(
    relay: RelayServer, glasses: Glasses, way: str
) -> None:
    """No hole and no repeat, however the position is given; ids and data are the same again."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 60)
        async with glasses.follow(url) as first:
            await first.read()
        position = first.events[19].id
        headers = {"Last_Event_ID": position} if way == "header" else {}
        query = "" if way == "header" else f"&{way}={position}"
        async with glasses.follow(url + query, **headers) as second:
            await second.read()
    assert [(e.id, e.data) for e in second.events] == [(e.id, e.data) for e in first.events[20:]]


async def test_a_stream_that_was_read_to_its_end_answers_204(
    relay: RelayServer, glasses: Glasses
) -> None:
    """That is what tells EventSource to stay away."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 60)
        async with glasses.follow(url) as first:
            await first.read()
        async with glasses.follow(url, Last_Event_ID=first.events[-1].id) as second:
            await second.read()
    assert (second.status, second.body) == (204, b"")


@pytest.mark.parametrize(
    ("position", "status"),
    [("{epoch}.9999", 410), ("nonsense", 400), ("{epoch}.-1", 400), ("3", 400)],
)
async def test_a_position_that_cannot_be_served_is_never_served_silently(
    relay: RelayServer, glasses: Glasses, position: str, status: int
) -> None:
    """Beyond the log: 410. No position at all: 400."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 60)
        async with glasses.follow(url) as first:
            await first.read()
        given = position.format(epoch=first.events[0].id.partition(".")[0])
        async with glasses.follow(url, Last_Event_ID=given) as second:
            await second.read()
    assert second.status == status


async def test_a_position_of_a_lost_log_starts_over_and_says_so(
    relay: RelayServer, glasses: Glasses
) -> None:
    """`stream_reset` first, without an id, then everything once more."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 60)
        async with glasses.follow(url, Last_Event_ID="zzzz.3") as reader:
            await reader.read()
    reset = reader.events[0]
    assert (reset.data, reset.id) == ({"type": "stream_reset", "session_id": stream_id}, "")
    assert contents(reader) == list(TURN.chunks)


async def test_the_key_that_opened_a_stream_reads_it_without_a_ticket(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Also a stream of the glasses, whose id is in their response's header."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        await bot.answer(await bot.command(), TURN.chunks)
        await answer.read()
        url = f"/streams/{answer.stream_id}/events"
        async with glasses.follow(url, Authorization=f"Bearer {relay.key}") as reader:
            await reader.read()
    assert contents(reader) == answer.pieces == list(TURN.chunks)


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [
        ("/streams/{stream}/events", "", 401),
        ("/streams/{stream}/events", "Bearer wrong", 401),
        ("/streams/{stream}/events?ticket=forged", "", 401),
        ("/streams/other/events?ticket={ticket}", "", 401),
        ("/streams/unknown/events", "Bearer {key}", 404),
        ("/streams/{stream}/events", "Bearer {other}", 404),
    ],
)
async def test_nobody_else_reads_a_stream(
    relay: RelayServer, glasses: Glasses, path: str, authorization: str, status: int
) -> None:
    """No credential, a wrong one, a forged ticket, another stream's, another key's."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 60)
        given = {"key": relay.key, "other": relay.seed.keys[1]}
        headers = {"Authorization": authorization.format(**given)} if authorization else {}
        place = path.format(stream=stream_id, ticket=url.partition("ticket=")[2])
        async with glasses.follow(place, **headers) as reader:
            await reader.read()
    assert reader.status == status
    assert TURN.chunks[1] not in reader.body.decode()
    assert json.loads(reader.body)["error"]


async def test_a_stream_is_gone_after_its_retention(relay: RelayServer, glasses: Glasses) -> None:
    """410, for its key and for its ticket, and not a 404: it was there."""
    async with triggered(relay) as (bot, stream_id, url):
        await send(bot, stream_id, 0, 60)
        async with glasses.follow(url) as reader:
            await reader.read()
    deadline = asyncio.get_running_loop().time() + 3 * RETENTION_S
    statuses = {200}
    while statuses != {410} and asyncio.get_running_loop().time() < deadline:
        statuses = set()
        for place, headers in (
            (url, {}),
            (f"/streams/{stream_id}/events", {"Authorization": f"Bearer {relay.key}"}),
        ):
            async with glasses.follow(place, **headers) as reader:
                statuses.add(reader.status)  # the relay's own answer is the pause
    assert statuses == {410}


async def test_two_readers_get_the_same_and_neither_waits_for_the_other(
    relay: RelayServer, glasses: Glasses
) -> None:
    """One of them stops reading in the middle; the other is served on."""
    async with (
        triggered(relay) as (bot, stream_id, url),
        glasses.follow(url) as slow,
        glasses.follow(url) as quick,
    ):
        await send(bot, stream_id, 0, 60)
        await quick.read()
        await slow.read()
    assert [(e.id, e.data) for e in slow.events] == [(e.id, e.data) for e in quick.events]


# --- real clients ---------------------------------------------------------------------------------


async def test_httpx_sse_resumes_in_mid_stream(relay: RelayServer) -> None:
    """The network cuts it after 25 of 60; with the last id it gets the other 35 and no more."""
    got: list[tuple[str, str]] = []
    async with (
        triggered(relay) as (bot, stream_id, url),
        Wire(relay.port, "http") as proxy,
        httpx.AsyncClient(base_url=proxy.url, trust_env=False, timeout=10) as client,
    ):

        async def read(headers: dict[str, str]) -> None:
            async with aconnect_sse(client, "GET", url, headers=headers) as source:
                async for event in source.aiter_sse():
                    data = json.loads(event.data)
                    got.append((event.id, data.get("content", data["type"])))
                    if len(got) == 25:
                        proxy.cut()

        await send(bot, stream_id, 0, 25)
        with pytest.raises(httpx.TransportError):
            await read({})
        await send(bot, stream_id, 25, 60)
        await read({"Last-Event-ID": got[-1][0]})
        done = await client.get(url, headers={"Last-Event-ID": got[-1][0]})
    assert [content for _, content in got] == [*TURN.chunks, "stream_end"]
    assert len({position for position, _ in got}) == 61
    assert (done.status_code, proxy.connections >= 2) == (204, True)


@pytest.mark.needs("node")
async def test_eventsource_resumes_by_itself_and_stays_away_in_the_end(relay: RelayServer) -> None:
    """Cut after 25 of 60 it comes back behind its last id; the 204 ends it for good."""
    async with (
        triggered(relay) as (bot, stream_id, url),
        Wire(relay.port, "http") as proxy,
        node_client("eventsource.mjs", proxy.url + url) as client,
    ):
        await send(bot, stream_id, 0, 25)
        await client.wait(lambda line: client.count("message") == 25)
        proxy.cut()
        await client.wait_event("error")
        await send(bot, stream_id, 25, 60)
        last = await client.wait(lambda line: line["event"] == "error" and line["closed"])
    messages = [line for line in client.lines if line["event"] == "message"]
    shown = [line["data"].get("content", line["data"]["type"]) for line in messages]
    assert shown == [*TURN.chunks, "stream_end"]
    assert len({line["id"] for line in messages}) == 61
    assert last["code"] == 204
    assert client.count("open") == 2
