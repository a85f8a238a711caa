"""`POST /api/rokid/trigger` and `GET /api/rokid/poll`."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest

from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import QUESTION, Served, answer, eventually, serving

KEY = {"Authorization": "Bearer ak_1"}


async def poll(
    web: Served, session_id: str, *, after: str | None = None, **query: str
) -> httpx.Response:
    """One poll."""
    headers = KEY if after is None else {**KEY, "Last-Event-ID": after}
    params = {"bot_id": "1", "session_id": session_id, **query}
    return await web.http.get("/api/rokid/poll", params=params, headers=headers)


async def test_a_trigger_asks_the_bot_and_says_where_to_read(web: Served) -> None:
    """The session id is the stream's own, and so is the one that the bot echoes."""
    async with web.bot() as bot:
        triggered = await web.trigger()
        command = await bot.until("execute_command")
    session_id = triggered["session_id"]
    assert triggered["events_url"].startswith(f"/streams/{session_id}/events?ticket=")
    assert {name: triggered[name] for name in ("bot_id", "status")} == {
        "bot_id": 1,
        "status": "triggered",
    }
    metadata, params = command["metadata"], command["params"]
    assert isinstance(metadata, dict)
    assert (metadata["session_id"], params) == (session_id, {"message": "hello"})


async def test_a_trigger_for_a_bot_that_is_offline_is_told_by_the_stream(web: Served) -> None:
    """As on the reference nothing is checked first; the stream then says why it ended."""
    response = await web.http.get((await web.trigger())["events_url"])
    assert '"outcome":"bot_offline"' in response.text


@pytest.mark.parametrize(
    ("content", "authorization", "status", "code"),
    [
        (json.dumps(QUESTION), None, 401, "unauthorized"),
        (json.dumps(QUESTION), "Bearer wrong", 401, "unauthorized"),
        ("{nope", "Bearer ak_1", 400, "bad_request"),
        ('{"message_id":"1"}', "Bearer ak_1", 400, "bad_request"),
        (json.dumps({**QUESTION, "user_id": "nobody"}), "Bearer ak_1", 404, "unbound"),
        (json.dumps({**QUESTION, "user_id": None}), "Bearer ak_1", 404, "unbound"),
    ],
)
async def test_a_wrong_trigger_is_json_with_a_status(
    web: Served, content: str, authorization: str | None, status: int, code: str
) -> None:
    """Workers are machines: 400, 401 and 404, each with `error` and `code`."""
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await web.http.post("/api/rokid/trigger", content=content, headers=headers)
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.json()["error"]


async def test_a_failure_of_ours_says_nothing_of_its_cause(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 where it may pass, 500 where it is a bug."""

    async def open_stream(*_: object, **__: object) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr(web.node, "open_stream", open_stream)
    bug = await web.http.post("/api/rokid/trigger", json=QUESTION, headers=KEY)
    web.directory.away = True
    away = await web.http.post("/api/rokid/trigger", json=QUESTION, headers=KEY)
    assert (bug.status_code, away.status_code) == (500, 503)
    assert "secret" not in bug.text + away.text


async def test_a_poll_returns_what_is_there_each_with_an_id(web: Served) -> None:
    """The objects are those of RokidStreamChannel; the id of the last one goes on behind it."""
    async with web.bot() as bot:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        await answer(bot, session_id, "a", "b")
        await bot.until("stream_closed")
        objects = (await poll(web, session_id)).json()
        rest = (await poll(web, session_id, after=objects[0]["id"])).json()
        again = (await poll(web, session_id, after=objects[-1]["id"])).json()
    assert [(o["type"], o.get("content")) for o in objects] == [
        ("stream_chunk", "a"),
        ("stream_chunk", "b"),
        ("stream_end", None),
    ]
    assert {o["session_id"] for o in objects} == {session_id}
    assert rest == objects[1:]
    assert again == []


async def test_a_poll_takes_a_bare_offset_and_a_conversation(web: Served) -> None:
    """As the reference's workers have them: a count, and the device's message_id."""
    conversation = str(QUESTION["message_id"])
    async with web.bot() as bot:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        await answer(bot, session_id, "a", "b")
        await bot.until("stream_closed")
        objects = (await poll(web, conversation, after="1")).json()
        everything = (await poll(web, conversation, after="0")).json()
    assert [o.get("content") for o in objects] == ["b", None]
    assert {o["session_id"] for o in objects} == {conversation}
    assert len(everything) == 3


async def test_a_poll_waits_for_news_and_returns_at_once_when_there_is_some() -> None:
    """A real long poll: it is woken by the log and not by a timer."""
    async with serving(poll_seconds=5.0) as web, web.bot() as bot:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        polling = asyncio.create_task(poll(web, session_id))
        await eventually(lambda: web.readers(session_id) == 1)
        began = time.perf_counter()
        await bot.perform(type="stream_chunk", session_id=session_id, sequence=0, content="a")
        response = await polling
        assert time.perf_counter() - began < 1
    assert [o["content"] for o in response.json()] == ["a"]


async def test_a_poll_behind_the_end_does_not_wait() -> None:
    """There is nothing to come."""
    async with serving(poll_seconds=30.0) as web, web.bot() as bot:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        await answer(bot, session_id, "a")
        await bot.until("stream_closed")
        end = (await poll(web, session_id)).json()[-1]["id"]
        assert (await poll(web, session_id, after=end)).json() == []


async def test_a_poll_without_news_ends_empty(web: Served) -> None:
    """After `poll_seconds`, and leaves nothing behind."""
    async with web.bot():
        session_id = (await web.trigger())["session_id"]
        response = await poll(web, session_id)
        assert (response.status_code, response.json()) == (200, [])
        assert web.readers(session_id) == 0


async def test_a_poller_that_hangs_up_leaves_nothing() -> None:
    """Its wait ends with its connection, not with its time."""
    async with serving(poll_seconds=30.0) as web, web.bot():
        session_id = (await web.trigger())["session_id"]
        polling = asyncio.create_task(poll(web, session_id))
        await eventually(lambda: web.readers(session_id) == 1)
        polling.cancel()
        await eventually(lambda: web.readers(session_id) == 0)


@pytest.mark.parametrize(
    ("changes", "headers", "status", "code"),
    [
        ({}, {}, 401, "unauthorized"),
        ({}, {"Authorization": "Bearer wrong"}, 401, "unauthorized"),
        ({"bot_id": ""}, KEY, 400, "bad_request"),
        ({"bot_id": "x"}, KEY, 400, "bad_request"),
        ({"session_id": ""}, KEY, 400, "bad_request"),
        ({}, {**KEY, "Last-Event-ID": "nonsense!"}, 400, "bad_request"),
        ({}, {**KEY, "Last-Event-ID": "otherepoch.1"}, 410, "position_gone"),
        ({}, {**KEY, "Last-Event-ID": "999"}, 410, "position_gone"),
        ({"session_id": "unknown"}, KEY, 404, "unknown_stream"),
        ({"bot_id": "2"}, KEY, 404, "unknown_stream"),
        ({}, {"Authorization": "Bearer ak_2"}, 404, "unknown_stream"),
    ],
)
async def test_a_wrong_poll_is_json_with_a_status(
    web: Served, changes: dict[str, str], headers: dict[str, str], status: int, code: str
) -> None:
    """Each with `error` and `code`; another key's stream looks like none."""
    async with web.bot():
        params = {"bot_id": "1", "session_id": (await web.trigger())["session_id"], **changes}
        response = await web.http.get("/api/rokid/poll", params=params, headers=headers)
    answered: JsonValue = response.json()
    assert isinstance(answered, dict)
    assert (response.status_code, answered["code"]) == (status, code)
