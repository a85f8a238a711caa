"""A small OpenAI-compatible server on loopback: the test says what it answers, step by step.

It speaks HTTP/1.1 by hand, so that a test decides what comes in one write, where an answer breaks
off, and sees when the client hangs up.

    async with OpenAIServer() as server:
        server.script(text("Hel"), text("lo"), finish(), DONE)
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
"""What every stream ends with."""
CUT = b""
"""As a step: break the connection here, as a crash would."""

Step = bytes | asyncio.Event
"""Something to send, or something to wait for. Every step is a write of its own."""


def part(delta: Json, finish_reason: str | None = None, **fields: Any) -> bytes:
    """One event of the stream with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({"choices": [choice], **fields})


def event(fields: Json) -> bytes:
    """One event of the stream."""
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**envelope, **fields})}\n\n".encode()


def text(content: str) -> bytes:
    """A piece of text."""
    return part({"content": content})


def burst(*contents: str) -> bytes:
    """Pieces of text that come in one write."""
    return b"".join(text(content) for content in contents)


def call(index: int, **function: str) -> bytes:
    """A piece of a tool call: `id`, `name` and `arguments`, each where it comes."""
    piece: Json = {"index": index}
    if "id" in function:
        piece |= {"id": function.pop("id"), "type": "function"}
    return part({"tool_calls": [{**piece, "function": function}]})


def finish(reason: str = "stop") -> bytes:
    """The part that says why the model stopped."""
    return part({}, reason)


def usage(completion_tokens: int) -> bytes:
    """The part behind the last one, with the usage and without a choice."""
    counted = {"prompt_tokens": 7, "completion_tokens": completion_tokens, "total_tokens": 99}
    return event({"choices": [], "usage": counted})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: Json


@dataclass(slots=True)
class _Answer:
    status: int = 200
    steps: Sequence[Step] = ()
    headers: dict[str, str] = field(default_factory=dict)


class OpenAIServer:
    """Answers one request after the other by the scripts it was given; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.hung_up = asyncio.Event()
        """Whether a client has gone before its answer's end."""
        self._waiting: asyncio.Event | None = None
        self._moved = asyncio.Event()
        self._answers: deque[_Answer] = deque()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._left = asyncio.Event()
        self._left.set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def last(self) -> Json:
        """The body of the newest request."""
        return self.asked[-1].body

    def script(self, *steps: Step) -> None:
        """Stream these steps."""
        self._answers.append(_Answer(steps=steps))

    def say(self, *contents: str) -> None:
        """Stream this text, piece by piece, in good order."""
        self.script(*(text(content) for content in contents), finish(), DONE)

    def refuse(self, status: int, message: str, **headers: str) -> None:
        """Answer with an error as the API has it."""
        body = json.dumps({"error": {"message": message, "type": "error", "code": None}}).encode()
        self._answers.append(_Answer(status, (body,), headers))

    async def waits_for(self, step: asyncio.Event) -> None:
        """Wait until everything before this step has been written."""
        while self._waiting is not step:
            self._moved.clear()
            await self._moved.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._left.wait()
        await self._server.wait_closed()

    # --- inside -------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._left.clear()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._take(reader)
                    if not await self._answer(reader, writer):
                        break
        finally:
            writer.transport.abort()
            self._open.discard(writer)
            if not self._open:
                self._left.set()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.rstrip().split("\r\n")
        method, path, _ = request.split(" ")
        assert (method, path) == ("POST", "/v1/chat/completions"), request
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.asked.append(Asked(path, headers, body))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Play a script. Returns whether the connection may carry another request."""
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        kind = "text/event-stream" if answer.status == HTTPStatus.OK else "application/json"
        given = {"Content-Type": kind, "Transfer-Encoding": "chunked", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for step in answer.steps:
            if isinstance(step, asyncio.Event):
                if not await self._wait(step, reader):
                    return False
                continue
            if step == CUT:
                await writer.drain()
                return False
            writer.write(b"%x\r\n%b\r\n" % (len(step), step))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _wait(self, step: asyncio.Event, reader: asyncio.StreamReader) -> bool:
        """Wait for the test, or for the client's end. Returns whether the client is there."""
        self._waiting = step
        self._moved.set()
        waiting = asyncio.ensure_future(step.wait())
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.hung_up.set()
            return not leaving.done()
        finally:
            waiting.cancel()
            leaving.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)
