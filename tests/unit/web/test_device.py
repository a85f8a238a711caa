"""`POST /sse/rokid`: whatever happens is an answer that the glasses can show."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from structlog.testing import capture_logs

from relay.web import body as body_module
from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import QUESTION, Served, answer, eventually, serving, texts

AUTHORIZATION = {"Authorization": "Bearer ak_1"}


def ending(response: httpx.Response) -> list[tuple[str, bool]]:
    """The name and `is_finish` of the last two events."""
    events = [block for block in response.text.split("\n\n") if block.startswith("event:")]
    names_and_data = [block.split("\n", 1) for block in events[-2:]]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: "))["is_finish"])
        for name, data in names_and_data
    ]


async def test_an_answer_is_read_whole_and_in_order(web: Served) -> None:
    """Chunks become `message` events, then one finish and one `done`."""
    async with web.bot() as bot:
        asking = asyncio.create_task(web.ask())
        session_id = str((await bot.until("execute_command"))["metadata"]["session_id"])  # type: ignore[index, call-overload]
        await answer(bot, session_id, "Hello", " ", "\n\n", "🦞")
        response = await asking
    assert texts(response.text) == ["Hello", " ", "\n\n", "🦞", ""]
    assert ending(response) == [("message", True), ("done", True)]


async def test_a_stream_names_itself_before_anything_else(web: Served) -> None:
    """In a header and as its first bytes; nothing may buffer or cache it."""
    response = await web.ask()
    stream_id = response.headers["Relay-Stream-Id"]
    assert response.status_code == 200
    assert response.text.startswith(f": stream {stream_id}\n\n")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"


async def test_the_first_bytes_do_not_wait_for_the_bot(web: Served) -> None:
    """Headers and the comment are there while the bot still thinks."""
    async with (
        web.bot(),
        web.http.stream("POST", "/sse/rokid", json=QUESTION, headers=AUTHORIZATION) as response,
    ):
        first = await anext(response.aiter_text())
        assert first == f": stream {response.headers['Relay-Stream-Id']}\n\n"


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    """A comment carries no id and no data, so no client's cursor moves."""
    async with (
        serving(keepalive_seconds=0.1) as web,
        web.bot(),
        web.http.stream("POST", "/sse/rokid", json=QUESTION, headers=AUTHORIZATION) as response,
    ):
        parts = response.aiter_text()
        assert (await anext(parts)).startswith(": stream ")
        assert await anext(parts) == ": keep-alive\n"


async def test_a_bot_that_is_offline_is_answered_at_once(web: Served) -> None:
    """In under 100 ms, in words, and with an end."""
    took: list[float] = []
    response = await web.ask()
    for _ in range(5):  # the best of five: a busy machine says nothing about the relay
        began = time.perf_counter()
        response = await web.ask()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1
    assert texts(response.text) == ["Your assistant is offline right now. Please try again later."]
    assert ending(response) == [("message", True), ("done", True)]


@pytest.mark.parametrize("user_id", ["nobody", None, ""])
async def test_a_user_without_a_bot_is_told_so(web: Served, user_id: JsonValue) -> None:
    """The stream exists, ends at once, and leaves a trace."""
    response = await web.ask(user_id=user_id)
    assert texts(response.text) == ["No assistant is linked to you yet. Please link one first."]
    await eventually(lambda: len(web.sink.rows) == 1)
    assert (web.sink.rows[0].bot_id, web.sink.rows[0].outcome) == (None, "unbound")


@pytest.mark.parametrize(
    ("content", "authorization", "code", "message_id"),
    [
        (json.dumps(QUESTION), None, "unauthorized", "1740000000000"),
        (json.dumps(QUESTION), "Bearer wrong", "unauthorized", "1740000000000"),
        (json.dumps(QUESTION), "Bearer token-1", "unauthorized", "1740000000000"),
        ("{nope", "Bearer wrong", "unauthorized", ""),
        ("{nope", "Bearer ak_1", "bad_request", ""),
        ("", "Bearer ak_1", "bad_request", ""),
        ("[]", "Bearer ak_1", "bad_request", ""),
        ('{"message_id":"7"}', "Bearer ak_1", "bad_request", "7"),
        ('{"message_id":"7","agent_id":"a","message":[]}', "Bearer ak_1", "bad_request", "7"),
    ],
)
async def test_a_wrong_request_is_an_answer_in_words_with_an_end(
    web: Served, content: str, authorization: str | None, code: str, message_id: str
) -> None:
    """HTTP 200 and text for people, the header `Relay-Error` for machines; never a hang."""
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await web.http.post("/sse/rokid", content=content, headers=headers)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Relay-Error"] == code
    assert len(texts(response.text)) == 1
    assert texts(response.text)[0]
    assert ending(response) == [("message", True), ("done", True)]
    assert f'"message_id":"{message_id}"' in response.text


@pytest.mark.parametrize("form", ["bearer ak_1", "ak_1", "BEARER  ak_1"])
async def test_a_key_is_taken_as_consoles_send_it(web: Served, form: str) -> None:
    """The scheme in any case, or the bare key."""
    response = await web.http.post("/sse/rokid", json=QUESTION, headers={"Authorization": form})
    assert "Relay-Stream-Id" in response.headers


@pytest.mark.parametrize(
    ("lang", "expected"), [("en-US", "Please"), ("zh-CN", "\u8bf7"), (None, "\u8bf7")]
)
async def test_an_error_speaks_the_users_language(
    web: Served, lang: str | None, expected: str
) -> None:
    """By `metadata.lang`; Chinese where nothing is said."""
    response = await web.ask(key="wrong", metadata={"lang": lang})
    assert expected in texts(response.text)[0]


async def test_a_body_that_is_too_large_is_an_answer_too(web: Served) -> None:
    """Above 1 MiB nothing more is read."""
    response = await web.http.post(
        "/sse/rokid", content=b" " * (body_module.BODY_MAX_BYTES + 1), headers=AUTHORIZATION
    )
    assert response.headers["Relay-Error"] == "limit_reached"


async def test_a_database_that_is_away_is_an_answer_without_internals(web: Served) -> None:
    """The glasses are told to try again; the cause stays in the log."""
    web.directory.away = True
    response = await web.ask()
    assert response.headers["Relay-Error"] == "internal"
    assert texts(response.text) == ["Sorry, something went wrong. Please try again later."]
    assert "secret" not in response.text


async def test_a_bug_of_ours_is_an_answer_without_internals(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even what nobody foresaw has an end."""

    async def open_stream(*_: object, **__: object) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr(web.node, "open_stream", open_stream)
    with capture_logs() as logs:
        response = await web.ask()
    assert [(entry["event"], entry["path"]) for entry in logs] == [("request_failed", "/sse/rokid")]
    assert response.headers["Relay-Error"] == "internal"
    assert ending(response) == [("message", True), ("done", True)]
    assert "secret" not in response.text


async def test_a_device_that_hangs_up_leaves_nothing_and_the_bot_is_told(web: Served) -> None:
    """Lingzhu cannot resume: after a short grace the bot is told to stop."""
    await web.ask()  # the first response of a loop starts sse-starlette's own watcher
    tasks = len(asyncio.all_tasks())
    async with web.bot() as bot:
        async with web.http.stream(
            "POST", "/sse/rokid", json=QUESTION, headers=AUTHORIZATION
        ) as response:
            await anext(response.aiter_bytes())
            assert web.responder.open_count == 1
        cancelled = await bot.until("cancel_command")
        assert cancelled["reason"] == "device_gone"
        assert web.responder.open_count == 0
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_device_that_hangs_up_in_its_request_is_nobody_to_answer(web: Served) -> None:
    """No stream is opened and no bot is asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(b"POST /sse/rokid HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert web.node.open_streams == 0


async def test_two_questions_of_one_conversation_never_mix(web: Served) -> None:
    """Each request has a stream of its own, though the device's message_id is the same."""
    async with web.bot() as bot:
        asking = [asyncio.create_task(web.ask()) for _ in range(2)]
        ids = [
            str((await bot.until("execute_command"))["metadata"]["session_id"])  # type: ignore[index, call-overload]
            for _ in range(2)
        ]
        for number, session_id in enumerate(ids):
            await answer(bot, session_id, f"answer {number}")
        responses = await asyncio.gather(*asking)
    shown = {response.headers["Relay-Stream-Id"]: texts(response.text) for response in responses}
    assert shown == {session_id: [f"answer {n}", ""] for n, session_id in enumerate(ids)}
