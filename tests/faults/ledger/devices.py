"""Devices: they ask, read, and come back with their last id whenever their relay is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count

from tests.faults.ledger.books import Reader, Stream
from tests.faults.ledger.web import call, request

RETRY_S = 0.1
ASK_S = 60.0

_numbers = count(1)


async def ask(ports: Callable[[], list[int]], key: str, stream: Stream) -> None:
    """Ask for a stream; sets its id and address. Tries again where no relay can take it."""
    body = {
        "message_id": str(1_772_157_600_000 + next(_numbers)),
        "agent_id": "a" * 32,
        "user_id": stream.user,
        "message": [{"role": "user", "type": "text", "text": stream.answer.question}],
        "metadata": {},
    }
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    give_up = time.monotonic() + ASK_S
    at = 0
    while True:
        known = ports()
        try:
            status, answer = await call(
                known[at % len(known)], "POST", "/api/rokid/trigger", headers, body
            )
        except (OSError, TimeoutError):
            status, answer = 0, "no answer"
        if status == 200:
            stream.stream_id, stream.url = answer["session_id"], answer["events_url"]
            return
        if time.monotonic() > give_up:
            raise RuntimeError(f"nobody takes the question: {status} {answer}")
        at += 1
        await asyncio.sleep(RETRY_S)


async def read(ports: Callable[[], list[int]], reader: Reader, at: int = 0) -> None:
    """Read a stream to its end, from whichever relay is there."""
    cut_at = 0.0
    while reader.end is None:
        known = ports()
        headers = {"Last-Event-ID": reader.last_id} if reader.last_id else {}
        try:
            async with request(
                known[at % len(known)], "GET", reader.stream.url, headers
            ) as response:
                if response.status == 200:
                    if cut_at:
                        reader.returned.append((cut_at, time.monotonic()))
                    async for event_id, data in response.events():
                        reader.take(event_id, data, time.monotonic())
                elif response.status < 500:
                    reader.violations.append(f"the relay answers {response.status}")
                    return
        except OSError:
            pass
        if reader.end is None:
            cut_at = time.monotonic()
            reader.resumed += 1
            at += 1
            await asyncio.sleep(RETRY_S)
