"""`GET /streams/{stream_id}/events`: any SSE client, resumable by position."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from httpx_sse import EventSource

from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import Cable, Served, answer, eventually, serving

KEY = {"Authorization": "Bearer ak_1"}


async def told(web: Served, bot: Cable, *chunks: str) -> dict[str, str]:
    """Trigger a stream and let the bot answer it whole; returns the trigger's answer."""
    triggered = await web.trigger()
    await bot.until("execute_command")
    await answer(bot, triggered["session_id"], *chunks)
    await bot.until("stream_closed")
    return triggered


def events(text: str) -> list[tuple[str, dict[str, JsonValue]]]:
    """The id and data of each event; comments and `retry` are none."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if "data" in fields:
            found.append((fields["id"], json.loads(fields["data"])))
    return found


async def test_a_stream_is_read_from_the_start_by_ticket_or_by_key(web: Served) -> None:
    """Both see the same events with the same ids."""
    async with web.bot() as bot:
        triggered = await told(web, bot, "a", "b")
        by_ticket = await web.http.get(triggered["events_url"])
        by_key = await web.http.get(f"/streams/{triggered['session_id']}/events", headers=KEY)
    assert by_ticket.status_code == by_key.status_code == 200
    assert by_ticket.text == by_key.text
    assert by_ticket.text.startswith(f": stream {triggered['session_id']}\n\nretry: 1000\nid: ")
    shown = [data for _, data in events(by_ticket.text)]
    assert [data.get("content") for data in shown] == ["a", "b", None]
    assert (shown[-1]["type"], shown[-1]["outcome"]) == ("stream_end", "completed")


@pytest.mark.parametrize("how", ["header", "last_event_id", "lastEventId"])
async def test_a_reader_goes_on_behind_the_last_event_that_it_saw(web: Served, how: str) -> None:
    """No hole and no repeat, with the same ids."""
    async with web.bot() as bot:
        triggered = await told(web, bot, "a", "b", "c")
        url = triggered["events_url"]
        everything = events((await web.http.get(url)).text)
        place = everything[0][0]
        if how == "header":
            rest = await web.http.get(url, headers={"Last-Event-ID": place})
        else:
            rest = await web.http.get(f"{url}&{how}={place}")
    assert events(rest.text) == everything[1:]


async def test_the_header_goes_before_the_query(web: Served) -> None:
    """A browser that reconnects keeps its first URL and sends where it really is."""
    async with web.bot() as bot:
        url = (await told(web, bot, "a", "b"))["events_url"]
        everything = events((await web.http.get(url)).text)
        rest = await web.http.get(
            f"{url}&last_event_id={everything[0][0]}", headers={"Last-Event-ID": everything[1][0]}
        )
    assert events(rest.text) == everything[2:]


async def test_a_stream_that_was_read_to_its_end_says_do_not_come_back(web: Served) -> None:
    """204: EventSource reconnects after everything else."""
    async with web.bot() as bot:
        url = (await told(web, bot, "a"))["events_url"]
        everything = events((await web.http.get(url)).text)
        done = await web.http.get(url, headers={"Last-Event-ID": everything[-1][0]})
        before = await web.http.get(url, headers={"Last-Event-ID": everything[-2][0]})
    assert (done.status_code, done.content) == (204, b"")
    assert before.status_code == 200


@pytest.mark.parametrize(
    ("place", "status", "code"),
    [
        ("{epoch}.999", 410, "position_gone"),
        ("nonsense", 400, "bad_request"),
        ("{epoch}.-1", 400, "bad_request"),
        ("{epoch}.1e3", 400, "bad_request"),
        ("7", 400, "bad_request"),
    ],
)
async def test_a_position_that_cannot_be_served_is_never_served_silently(
    web: Served, place: str, status: int, code: str
) -> None:
    """Another log's position is gone, and what is no position is wrong."""
    async with web.bot() as bot:
        url = (await told(web, bot, "a"))["events_url"]
        epoch = events((await web.http.get(url)).text)[0][0].split(".")[0]
        response = await web.http.get(
            url, headers={"Last-Event-ID": place.replace("{epoch}", epoch)}
        )
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "authorization", "status", "code"),
    [
        ("/streams/{id}/events", None, 401, "unauthorized"),
        ("/streams/{id}/events", "Bearer wrong", 401, "unauthorized"),
        ("/streams/{id}/events?ticket=wrong", None, 401, "unauthorized"),
        ("/streams/{id}/events", "Bearer ak_2", 404, "unknown_stream"),
        ("/streams/unknown/events", "Bearer ak_1", 404, "unknown_stream"),
        ("/streams/unknown/events?ticket={ticket}", None, 401, "unauthorized"),
        ("/streams/{id}/events?ticket={ticket}", "Bearer wrong", 401, "unauthorized"),
    ],
)
async def test_a_stranger_learns_nothing(
    web: Served, path: str, authorization: str | None, status: int, code: str
) -> None:
    """A ticket opens its own stream only, and a key only what it opened itself."""
    async with web.bot() as bot:
        triggered = await told(web, bot, "a")
        ticket = triggered["events_url"].partition("ticket=")[2]
        path = path.replace("{id}", triggered["session_id"]).replace("{ticket}", ticket)
        headers = {"Authorization": authorization} if authorization else {}
        response = await web.http.get(path, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("by", ["ticket", "key"])
async def test_a_stream_whose_retention_is_over_is_gone(by: str) -> None:
    """410, not 404: who may know it is told that it was there."""
    async with serving(retention_seconds=0.0) as web, web.bot() as bot:
        triggered = await told(web, bot, "a")
        await eventually(lambda: web.readers(triggered["session_id"]) == -1)
        url, headers = triggered["events_url"], {}
        if by == "key":
            url, headers = url.partition("?")[0], KEY
        response = await web.http.get(url, headers=headers)
    assert (response.status_code, response.json()["code"]) == (410, "position_gone")


async def test_any_page_may_read_with_a_ticket_and_none_with_a_key(web: Served) -> None:
    """A ticket is all that it takes, so CORS is open; a key in a page is none of ours."""
    async with web.bot() as bot:
        triggered = await told(web, bot, "a")
        url = triggered["events_url"]
        by_ticket = await web.http.get(url)
        refused = await web.http.get(url[:-3])
        preflight = await web.http.options(url)
        by_key = await web.http.get(url.partition("?")[0], headers=KEY)
        keyless = await web.http.options(url.partition("?")[0])
    for response in (by_ticket, refused, preflight):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert preflight.status_code == 204
    assert "Last-Event-ID" in preflight.headers["Access-Control-Allow-Headers"]
    for response in (by_key, keyless):
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_reader_that_resumes_in_mid_stream_sees_the_rest_live(web: Served) -> None:
    """Replay and live are one read of one log."""
    async with web.bot() as bot:
        triggered = await web.trigger()
        session_id, url = triggered["session_id"], triggered["events_url"]
        await bot.until("execute_command")
        await bot.perform(type="stream_chunk", session_id=session_id, sequence=0, content="a")
        await bot.until("ack")
        async with web.http.stream("GET", url) as first:
            seen = ""
            async for part in first.aiter_text():
                seen += part
                if events(seen):
                    break
        place = events(seen)[0][0]
        async with web.http.stream("GET", url, headers={"Last-Event-ID": place}) as second:
            await answer(bot, session_id, "a", "b")
            rest = "".join([part async for part in second.aiter_text()])
    assert [data.get("content") for _, data in events(rest)] == ["b", None]


@pytest.mark.parametrize("fast_path", ["off", "on"])
async def test_a_comment_is_no_event_of_httpx_sse(fast_path: str) -> None:
    """It takes a blank line for the end of one, whatever stood before it, once it has an id."""
    async with serving(keepalive_seconds=0.05, fast_path=fast_path) as web, web.bot() as bot:
        triggered = await web.trigger()
        session_id, url = triggered["session_id"], triggered["events_url"]
        await bot.until("execute_command")
        await bot.perform(type="stream_chunk", session_id=session_id, sequence=0, content="a")
        seen: list[str] = []
        commented = asyncio.Event()
        async with web.http.stream("GET", url) as response:

            async def noting() -> AsyncIterator[bytes]:
                async for part in response.aiter_bytes():
                    if b"keep-alive" in part and seen:
                        commented.set()
                    yield part

            async def read() -> None:
                stream = httpx.Response(200, headers=response.headers, content=noting())
                async for event in EventSource(stream).aiter_sse():
                    seen.append(event.data)  # noqa: PERF401 - looked at meanwhile

            async with asyncio.TaskGroup() as group:
                group.create_task(read())
                await commented.wait()
                await answer(bot, session_id, "a")
        assert len(seen) == 2
        assert "" not in seen


async def test_a_head_request_opens_no_stream(web: Served) -> None:
    """Headers only, and nothing remains open."""
    async with web.bot():
        url = (await web.trigger())["events_url"]
        response = await web.http.head(url)
        assert (response.status_code, response.content) == (200, b"")
        assert web.responder.open_count == 0


async def test_a_position_of_a_lost_log_starts_over_and_says_so(web: Served) -> None:
    """The first event has no id: a reader that is cut off behind it must be told again."""
    async with web.bot() as bot:
        url = (await told(web, bot, "a"))["events_url"]
        everything = events((await web.http.get(url)).text)
        again = await web.http.get(url, headers={"Last-Event-ID": "otherepoch.1"})
    first, _, rest = again.text.partition("\n\n")[2].partition("\n\n")
    assert first.startswith('data: {"type":"stream_reset"')
    assert events(rest) == everything
