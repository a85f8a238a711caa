"""The glasses: one question over plain HTTP, the answer as Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from relay.demo.ledger import Heard
from relay.errors import RelayError
from relay.wire import jsontext
from relay.wire.jsontext import JsonValue
from relay.wire.sse import SseEvent, SseParser

READ_BYTES: Final = 65_536


class BadAnswer(RelayError):
    """The relay's answer is not one that the glasses could show."""


@dataclass(frozen=True, slots=True)
class Question:
    """Where to ask, as whom, and what."""

    base: str
    access_key: str
    user_id: str
    text: str


Device = Callable[[Question], AsyncIterator[Heard]]
"""Asks, and yields what it is told until the answer is over."""


async def ask(question: Question) -> AsyncIterator[Heard]:
    """Ask, and yield what could be displayed, when it could be; the last one is the end.

    Raises `BadAnswer` where the answer does not end exactly once, as the glasses need it.
    """
    where = urlsplit(question.base)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(_request(where.netloc, question))
        status = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0].decode("latin-1")
        if " 200 " not in status:
            raise BadAnswer(f"the relay answers {status}")
        parser, screen = SseParser(), _Screen()
        while data := await reader.read(READ_BYTES):
            at = time.monotonic()
            for event in parser.feed(data):
                text = screen.show(event)
                if text:
                    yield Heard(at, text)
        if not screen.done:
            raise BadAnswer("the answer broke off: the glasses would show it as unfinished")
        yield Heard(time.monotonic(), None)
    finally:
        writer.close()


def _request(host: str, question: Question) -> bytes:
    # HTTP/1.0: the answer then ends with the connection, and needs no decoding of its transfer.
    body = json.dumps(
        {
            "message_id": "1772179200000",
            "agent_id": "demo",
            "user_id": question.user_id,
            "message": [{"role": "user", "type": "text", "text": question.text}],
        }
    ).encode()
    head = (
        f"POST /sse/rokid HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {question.access_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


class _Screen:
    """What the glasses do with the events of the Lingzhu protocol."""

    def __init__(self) -> None:
        self.done = False
        self._finished = False

    def show(self, event: SseEvent) -> str:
        """Return what is displayed; raises `BadAnswer` for anything behind the end."""
        data = jsontext.loads(event.data)
        if self.done or not isinstance(data, dict):
            raise BadAnswer(f"the glasses cannot show {event.data[:80]!r}")
        if event.event == "done":
            self.done = True
            if not self._finished:
                raise BadAnswer("done, and no message said that it was the last")
            return ""
        if self._finished:
            raise BadAnswer("a message behind the last one")
        self._finished = data.get("is_finish") is True
        return _text(data.get("answer_stream"))


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
