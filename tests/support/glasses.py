"""The glasses: ask over `POST /sse/rokid` and keep what comes, parsed by rules of our own."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

Object = dict[str, Any]
READ_TIMEOUT_S = 30.0
_numbers = count(1_772_157_600_000)


@dataclass(frozen=True, slots=True)
class Event:
    """One SSE event."""

    name: str
    data: Object
    id: str
    at: float
    """When its last byte came, in seconds of the monotonic clock."""


@dataclass(slots=True)
class Answer:
    """What one response has brought so far."""

    status: int
    headers: httpx.Headers
    asked_at: float
    question: Object = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    """Whether the relay has closed the response in good order."""
    _chunks: AsyncIterator[bytes] | None = None
    _rest: bytes = b""

    @property
    def stream_id(self) -> str:
        """The stream as the response's header names it."""
        return self.headers["relay-stream-id"]

    @property
    def text(self) -> str:
        """What the glasses show of Lingzhu events."""
        return "".join(e.data.get("answer_stream", "") for e in self.events)

    @property
    def pieces(self) -> list[str]:
        """The non-empty pieces that were shown before the finish."""
        return [e.data["answer_stream"] for e in self.events if not e.data["is_finish"]]

    @property
    def finishes(self) -> list[str]:
        """The names of the events that say the answer is finished."""
        return [e.name for e in self.events if e.data.get("is_finish")]

    async def until(self, done: Callable[[Answer], bool]) -> None:
        """Read until this holds; fails where the response ends before."""
        async with asyncio.timeout(READ_TIMEOUT_S):
            while not done(self):
                assert not self.ended, f"the answer ended: {self.events}"
                await self._read()

    async def read(self) -> Answer:
        """Read to the end of the response."""
        async with asyncio.timeout(READ_TIMEOUT_S):
            while not self.ended:
                await self._read()
        return self

    async def _read(self) -> None:
        assert self._chunks is not None
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self.ended = True
            is_sse = self.headers.get("content-type", "").startswith("text/event-stream")
            assert not (is_sse and self._rest), f"cut within an event: {self._rest!r}"
            return
        now = time.monotonic()
        self.body += chunk
        # Bytes are cut anywhere, also within a character: only whole events are decoded.
        *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
        for block in blocks:
            self._block(block.decode(), now)

    def _block(self, block: str, now: float) -> None:
        name, data, position = "message", [], ""
        for line in block.split("\n"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match key:
                case "":
                    self.comments.append(value)
                case "event":
                    name = value
                case "data":
                    data.append(value)
                case "id":
                    position = value
                case _:
                    assert key == "retry", line
        if data:
            self.events.append(Event(name, json.loads("\n".join(data)), position, now))


def question(user_id: object, **changes: object) -> Object:
    """Return a request body as real traffic has it; every one is a conversation of its own.

    A change to `None` takes the field away.
    """
    body: Object = {
        "message_id": str(next(_numbers)),
        "agent_id": "a" * 32,
        "user_id": user_id,
        "message": [{"role": "user", "type": "text", "text": "天气怎么样？", "image_url": None}],
        "metadata": {"lang": "zh-CN", "location": "杭州", "battery": "28", "runningApp": ""},
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


class Glasses:
    """A client with an access key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    @asynccontextmanager
    async def ask(self, body: Object | bytes, *, key: str | None = None) -> AsyncIterator[Answer]:
        """Ask; leaving the block before the end is a hang-up."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = self._key if key is None else key
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        asked = body if isinstance(body, dict) else {}
        async with self._open("POST", "/sse/rokid", headers, raw) as answer:
            answer.question = asked
            yield answer

    async def ask_and_read(self, body: Object | bytes, *, key: str | None = None) -> Answer:
        """Ask and read to the end."""
        async with self.ask(body, key=key) as answer:
            return await answer.read()

    @asynccontextmanager
    async def follow(self, path: str, **headers: str) -> AsyncIterator[Answer]:
        """Read any event stream; headers are given with `_` for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._open("GET", path, given, None) as answer:
            yield answer

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, headers: dict[str, str], raw: bytes | None
    ) -> AsyncIterator[Answer]:
        # A context that loads no certificates: loading them takes longer than most answers.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(
            timeout=READ_TIMEOUT_S, trust_env=False, verify=plain
        ) as client:
            asked_at = time.monotonic()
            async with client.stream(
                method, self._url + path, content=raw, headers=headers
            ) as response:
                answer = Answer(response.status_code, response.headers, asked_at)
                answer._chunks = response.aiter_raw()  # noqa: SLF001 - made here
                yield answer


def assert_finished(answer: Answer) -> None:
    """Exactly one `message` with `is_finish` true, then one `done`, and nothing behind it."""
    assert answer.ended
    assert answer.finishes == ["message", "done"]
    assert [event.name for event in answer.events[-2:]] == ["message", "done"]
    assert "answer_stream" not in answer.events[-1].data
    asked = answer.question
    for event in answer.events:
        assert event.data["role"] == "agent"
        assert event.data["type"] == "answer"
        assert event.data["message_id"] == asked["message_id"]
        assert event.data["agent_id"] == asked["agent_id"]
