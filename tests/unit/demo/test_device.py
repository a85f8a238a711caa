from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay.demo.device import BadAnswer, Question, ask

OK = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def message(text: str, *, finish: bool = False) -> str:
    """One `message` event of the Lingzhu protocol."""
    data = {"role": "agent", "type": "answer", "answer_stream": text, "is_finish": finish}
    return f"event: message\ndata: {json.dumps(data)}\n\n"


DONE = 'event: done\ndata: {"role":"agent","type":"answer","is_finish":true}\n\n'


@asynccontextmanager
async def answering(answer: str, requests: list[bytes] | None = None) -> AsyncIterator[Question]:
    """A server that gives one answer and closes, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if requests is not None:
            requests.extend([head, body])
        writer.write(answer.encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Question(f"http://127.0.0.1:{port}", "ak_1", "user-0", "你好")


async def hear(answer: str) -> list[str | None]:
    """What the device is told by an answer."""
    async with answering(answer) as question:
        return [heard.text async for heard in ask(question)]


async def test_every_piece_of_text_is_told_as_it_comes() -> None:
    """Comments are not; the last thing told is the end."""
    pieces = message("今") + ": keep-alive\n" + message(" ") + message("", finish=True) + DONE
    assert await hear(OK + ": stream s-1\n\n" + pieces) == ["今", " ", None]


async def test_the_question_is_that_of_the_platform() -> None:
    """With its key in the header and its user in the body."""
    requests: list[bytes] = []
    async with answering(OK + message("", finish=True) + DONE, requests) as question:
        async for _ in ask(question):
            pass
    head, body = requests
    assert head.startswith(b"POST /sse/rokid ")
    assert b"\r\nAuthorization: Bearer ak_1\r\n" in head
    asked = json.loads(body)
    assert (asked["user_id"], asked["message"][0]["text"]) == ("user-0", "你好")


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 500 Internal Server Error\r\n\r\n",
        OK + message("a"),
        OK + message("a", finish=True),
        OK + message("a") + DONE,
        OK + message("", finish=True) + message("b", finish=True) + DONE,
        OK + message("", finish=True) + DONE + DONE,
        OK + message("", finish=True) + DONE + message("b"),
    ],
)
async def test_an_answer_without_exactly_one_end_is_bad(answer: str) -> None:
    """The glasses would show "thinking" for ever, or the same text twice."""
    with pytest.raises(BadAnswer):
        await hear(answer)
