"""The devices of the soak: they ask, read, come back, hang up, dawdle, and get things wrong."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from bench.soak.bots import NONSENSE, OPEN
from bench.soak.ledger import Ledger
from bench.soak.wish import FLOOD_CHUNKS, Wish, draw_wish, is_whole, order_fault

END_S: Final = 40.0
"""Every answer must have ended by then: the soak's relay waits for nothing for so long."""

DAWDLE_S: Final = 7.0
"""Longer than the relay tries to write to a device that does not read."""

WORKER_ENDS: Final = ("stream_end", "stream_error")
WHOLE: Final = ("completed", "repaired")


@dataclass(slots=True)
class Reading:
    """What a reader of one stream has seen, over all of its connections."""

    last: str = ""
    sequence: int = -1
    parts: list[str] = field(default_factory=list)
    outcome: str = ""
    faults: list[str] = field(default_factory=list)

    def take(self, place: str, event: Mapping[str, Any]) -> None:
        """Take one event of the plain protocol."""
        if self.outcome:
            self.faults.append(f"{event['type']} behind the end")
        self.last = place or self.last
        match event["type"]:
            case "stream_chunk":
                if event["sequence"] <= self.sequence:
                    self.faults.append(f"chunk {event['sequence']} behind {self.sequence}")
                self.sequence = event["sequence"]
                self.parts.append(event["content"])
            case "stream_repair":
                self.parts.append(event["content"])
            case "stream_end":
                self.outcome = event["outcome"]
            case "stream_reset":
                self.faults.append("the relay lost the stream")
            case _:
                pass


class Devices:
    """One crowd of devices: `await one()` is one question of one of them, whatever happens."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        key: str,
        users: tuple[str, ...],
        rng: Random,
        ledger: Ledger,
    ) -> None:
        self._http = http
        self._auth = {"Authorization": f"Bearer {key}"}
        self._key = key
        self._users = users
        self._rng = rng
        self._ledger = ledger
        self._numbers = iter(range(1 << 40))
        self._ways: dict[Callable[[], Awaitable[None]], int] = {
            self._glasses: 30,
            self._glasses_that_hang_up: 8,
            self._reader: 20,
            self._reader_that_comes_back: 14,
            self._two_readers: 8,
            self._poll: 4,
            self._worker: 4,
            self._dawdler: 1,
            self._nobody_there: 3,
            self._wrong_http: 6,
            self._wrong_cable: 4,
        }

    async def one(self) -> None:
        """Do one thing; raises nothing but what ends the task."""
        way = self._rng.choices(list(self._ways), weights=list(self._ways.values()))[0]
        name = way.__name__.strip("_").replace("_", " ")
        self._ledger.count(name)
        try:
            async with asyncio.timeout(END_S):
                await way()
        except TimeoutError:
            self._ledger.is_wrong(f"{name}: no end within {END_S:g} s")
        except (httpx.HTTPError, OSError, WebSocketException, EOFError) as error:
            self._ledger.met(name, error)

    # --- asking -------------------------------------------------------------------------

    def _question(self, wish: Wish, user: str = "") -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "message_id": f"{1_772_179_200_000 + number // 3}",
            "agent_id": "soak",
            "user_id": user or self._rng.choice(self._users),
            "message": [{"role": "user", "type": "text", "text": str(wish)}],
        }

    async def _trigger(self, wish: Wish) -> dict[str, Any]:
        answer = await self._http.post(
            "/api/rokid/trigger", json=self._question(wish), headers=self._auth
        )
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    async def _events(self, url: str, last: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        headers = {"Last-Event-ID": last} if last else {}
        async with self._http.stream("GET", url, headers=headers) as response:
            response.raise_for_status()
            place = ""
            async for line in response.aiter_lines():
                if line.startswith("id:"):
                    place = line[3:].strip()
                elif line.startswith("data:"):
                    yield place, json.loads(line[5:])

    # --- ways ---------------------------------------------------------------------------

    async def _glasses(self, *, hang_up: bool = False) -> None:
        question = self._question(draw_wish(self._rng))
        text = ""
        async with self._http.stream(
            "POST", "/sse/rokid", json=question, headers=self._auth
        ) as response:
            if response.status_code != httpx.codes.OK:
                self._ledger.is_wrong(f"the glasses were answered {response.status_code}")
            finished = False
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                event = json.loads(line[5:])
                if finished and event.get("answer_stream"):
                    self._ledger.is_wrong("text behind the finish")
                finished = finished or bool(event.get("is_finish"))
                text += event.get("answer_stream", "")
                if hang_up:
                    return
            if not finished:
                self._ledger.is_wrong("an answer without its finish")
        self._check_order("glasses", question["message"][0]["text"], text)

    async def _glasses_that_hang_up(self) -> None:
        await self._glasses(hang_up=True)

    async def _reader(self) -> None:
        wish = draw_wish(self._rng)
        await self._read(wish, (await self._trigger(wish))["events_url"])

    async def _reader_that_comes_back(self) -> None:
        wish = draw_wish(self._rng)
        await self._read(wish, (await self._trigger(wish))["events_url"], breaks=3)

    async def _two_readers(self) -> None:
        wish = draw_wish(self._rng)
        url = (await self._trigger(wish))["events_url"]
        reading = [self._read(wish, url), self._read(wish, url, breaks=1)]
        for error in await asyncio.gather(*reading, return_exceptions=True):
            if error is not None:
                raise error

    async def _read(self, wish: Wish, url: str, breaks: int = 0) -> None:
        reading = Reading()
        while not reading.outcome:
            leave_after = self._rng.randint(1, 8) if breaks else 1 << 30
            breaks -= 1
            async for place, event in self._events(url, reading.last):
                reading.take(place, event)
                leave_after -= 1
                if leave_after <= 0 and not reading.outcome:
                    break
        self._judge(wish, reading)

    def _judge(self, wish: Wish, reading: Reading) -> None:
        for fault in reading.faults:
            self._ledger.is_wrong(f"{wish}: {fault}")
        text = "".join(reading.parts)
        self._check_order("reader", str(wish), text)
        in_order = wish.kind in ("whole", "failed", "cut")
        if in_order and reading.outcome in WHOLE and not is_whole(text):
            self._ledger.is_wrong(f"{wish}: {reading.outcome}, but not whole")
        self._ledger.count(f"read to the end: {reading.outcome}")

    def _check_order(self, who: str, wish: str, text: str) -> None:
        # Where a legacy bot's streams overlap, chunks count by arrival: then shuffled is shuffled.
        if not wish.startswith("shuffled") and (fault := order_fault(text)):
            self._ledger.is_wrong(f"{who}, {wish}: {fault}")

    async def _poll(self) -> None:
        told = await self._trigger(Wish("whole", 5, 0.02))
        query = {"bot_id": told["bot_id"], "session_id": told["session_id"]}
        for _ in range(3):
            answer = await self._http.get("/api/rokid/poll", params=query, headers=self._auth)
            if answer.status_code != httpx.codes.OK or not answer.json():
                return

    async def _worker(self) -> None:
        told = await self._trigger(draw_wish(self._rng))
        params = {
            "channel": "RokidStreamChannel",
            "access_key": self._key,
            "bot_id": told["bot_id"],
            "session_id": told["session_id"],
        }
        url = str(self._http.base_url).replace("http://", "ws://").rstrip("/")
        async with connect(f"{url}/cable?access_key={self._key}", **OPEN) as socket_:
            await socket_.send(
                json.dumps({"command": "subscribe", "identifier": json.dumps(params)})
            )
            async for raw in socket_:
                frame = json.loads(raw)
                if frame.get("type") == "reject_subscription":
                    self._ledger.is_wrong("a worker was rejected")
                    return
                message = frame.get("message")
                if isinstance(message, dict) and message.get("type") in WORKER_ENDS:
                    return
                if frame.get("type") == "ping" and self._rng.random() < 0.2:
                    return

    async def _dawdler(self) -> None:
        """A flood that nobody reads: the relay must let go of it by itself."""
        told = await self._trigger(Wish("flood", FLOOD_CHUNKS, 0.0))
        url = self._http.base_url
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            raw.setblocking(False)  # noqa: FBT003 - its only argument
            loop = asyncio.get_running_loop()
            await loop.sock_connect(raw, (url.host, url.port or 80))
            head = f"GET {told['events_url']} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n\r\n"
            await loop.sock_sendall(raw, head.encode())
            await asyncio.sleep(DAWDLE_S)

    async def _nobody_there(self) -> None:
        question = self._question(Wish("whole", 3, 0.0), user="nobody")
        answer = await self._http.post("/sse/rokid", json=question, headers=self._auth)
        if answer.status_code != httpx.codes.OK or "true" not in answer.text:
            self._ledger.is_wrong(f"nobody's question was answered {answer.status_code}")

    async def _wrong_http(self) -> None:
        wrong = {"Authorization": "Bearer wrong"}
        for answer in (
            await self._http.post("/sse/rokid", content=b"{", headers=self._auth),
            await self._http.post("/sse/rokid", json={}, headers=wrong),
            await self._http.post("/sse/rokid", content=b"x" * 1_200_000, headers=self._auth),
            await self._http.get("/streams/nowhere/events", headers=self._auth),
            await self._http.get("/api/rokid/poll", headers=wrong),
            await self._http.get("/no/such/path"),
            await self._http.get("/admin/api/traces"),
        ):
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                self._ledger.is_wrong(f"{answer.request.url.path} was {answer.status_code}")
        # A head that never ends, for a while.
        url = self._http.base_url
        _, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            await asyncio.sleep(self._rng.uniform(0.1, 6.0))
        finally:
            writer.transport.abort()

    async def _wrong_cable(self) -> None:
        url = str(self._http.base_url).replace("http://", "ws://").rstrip("/")
        token = self._rng.choice(("wrong", ""))
        with suppress(WebSocketException):
            async with connect(f"{url}/cable?sdk_token={token}", **OPEN) as socket_:
                while True:
                    await socket_.recv()
        with suppress(WebSocketException):
            async with connect(f"{url}/cable?access_key={self._key}", **OPEN) as socket_:
                for frame in NONSENSE:
                    await socket_.send(frame)
                await socket_.send(b"\x00\xff")
                await socket_.send("x" * 300_000)
                while True:
                    await socket_.recv()
