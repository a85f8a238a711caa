"""The bots of the soak: they answer as they are asked to, and come and go as they like."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bench.door import Door
from bench.soak.ledger import Ledger
from bench.soak.wish import Wish, read_wish
from relay_sdk import Bot, Command, ConnectionTimes, ReplyClosed
from relay_sdk.errors import Refusal

SILENT_S: Final = 9.0
"""Longer than the soak's relay waits for a bot that says nothing."""

QUICK: Final = ConnectionTimes(first_delay_s=0.05, delay_max_s=0.5, close_timeout_s=0.2)

OPEN: Final[Mapping[str, Any]] = {
    "compression": None,
    "open_timeout": 10,
    "close_timeout": 0.5,
    "ping_interval": None,
    "proxy": None,
}

NONSENSE: Final = (
    "no JSON at all",
    "[]",
    '{"command":"dance"}',
    '{"command":"subscribe","identifier":"{"}',
    '{"command":"message","identifier":"nobody","data":"{}"}',
    '{"command":"subscribe","identifier":"{\\"channel\\":\\"NoSuchChannel\\"}"}',
    '{"a":' * 40,
)
"""Frames that are wrong whoever sends them."""


class CableBot:
    """A bot without an SDK: protocol 1 with a summary, or protocol 2 that repeats nothing."""

    def __init__(self, url: str, token: str, *, protocol: int, rng: Random) -> None:
        self._url = url.replace("http://", "ws://") + "/cable"
        self._token = token
        self._protocol = protocol
        self._rng = rng
        params: dict[str, Any] = {"channel": "BotChannel"}
        if protocol > 1:
            params["protocol"] = protocol
        self._identifier = json.dumps(params)
        self._answers: set[asyncio.Task[None]] = set()

    async def live(self, seconds: float, leave: str) -> None:
        """Answer for so long, then leave: `close`, `abort`, or `twice` (a second one comes)."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(self._url, additional_headers=headers, **OPEN) as socket:
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._serve(socket)
                if leave == "twice":
                    async with connect(self._url, additional_headers=headers, **OPEN) as other:
                        await self._put(other, {"command": "subscribe"})
                        await other.recv()
                elif leave == "abort":
                    socket.transport.abort()
            finally:
                for task in self._answers:
                    task.cancel()

    async def _put(self, socket: ClientConnection, frame: dict[str, Any]) -> None:
        await socket.send(json.dumps({"identifier": self._identifier, **frame}))

    async def _say(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        await self._put(socket, {"command": "message", "data": json.dumps(message)})

    async def _serve(self, socket: ClientConnection) -> None:
        await self._put(socket, {"command": "subscribe"})
        while True:
            message = json.loads(await socket.recv()).get("message")
            if isinstance(message, dict) and message.get("type") == "execute_command":
                task = asyncio.create_task(self._answer(socket, message))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)

    async def _answer(self, socket: ClientConnection, command: dict[str, Any]) -> None:
        with suppress(WebSocketException, OSError, ValueError):
            stream_id = command["metadata"]["session_id"]
            await self._stream(socket, stream_id, read_wish(command["params"]["message"]))

    async def _stream(self, socket: ClientConnection, stream_id: str, wish: Wish) -> None:
        pieces = wish.pieces
        order = list(range(len(pieces)))
        match wish.kind:
            case "shuffled":
                order = [*self._rng.sample(order, len(order)), *order[:2]]
            case "lost_tail" | "abandoned":
                order = order[:-2]
            case "lost_middle":
                del order[1]
            case _:
                pass
        for sequence in order:
            await self._say(
                socket,
                {
                    "type": "stream_chunk",
                    "session_id": stream_id,
                    "sequence": sequence,
                    "content": pieces[sequence],
                },
            )
            if wish.pace_s:
                await asyncio.sleep(wish.pace_s)
        if self._rng.random() < 0.1:
            await self._nonsense(socket, stream_id)
        await self._finish(socket, stream_id, wish)

    async def _finish(self, socket: ClientConnection, stream_id: str, wish: Wish) -> None:
        match wish.kind:
            case "failed":
                await self._say(
                    socket, {"type": "stream_error", "session_id": stream_id, "error": "soak"}
                )
                return
            case "abandoned":
                await asyncio.sleep(SILENT_S)
                return
            case "cut":
                socket.transport.abort()
                return
            case _:
                pass
        end: dict[str, Any] = {"type": "stream_end", "session_id": stream_id}
        if self._protocol > 1:
            end["total_chunks"] = wish.chunks
        for _ in range(2):
            await self._say(socket, end)

    async def _nonsense(self, socket: ClientConnection, stream_id: str) -> None:
        chunk = {"type": "stream_chunk", "session_id": stream_id}
        for wrong in (
            {**chunk, "sequence": -1, "content": "x"},
            {**chunk, "sequence": 0, "content": "another"},
            {**chunk, "sequence": 0, "content": "x" * 17_000},
            {**chunk, "session_id": "nowhere", "sequence": 0, "content": "x"},
            {"type": "no_such_verb"},
        ):
            await self._say(socket, wrong)
        await socket.send(self._rng.choice(NONSENSE))


def sdk_bot(url: str, token: str, cut: Callable[[], None]) -> Bot:
    """Return a bot of the SDK that does as it is asked; `cut` breaks its connection."""
    bot = Bot(url, token, times=QUICK, name="soak")

    @bot.on_command
    async def answer(command: Command) -> None:
        wish = read_wish(command.text)
        with suppress(ReplyClosed):
            async with bot.reply(command) as reply:
                for number, piece in enumerate(wish.pieces):
                    if wish.kind == "cut" and number == wish.chunks // 2:
                        cut()
                    await reply.write(piece)
                    if wish.pace_s:
                        await asyncio.sleep(wish.pace_s)
                if wish.kind == "abandoned":
                    await asyncio.sleep(SILENT_S)
                if wish.kind == "failed":
                    await reply.fail("soak", shown="sorry")

    return bot


class Keeper:
    """Keeps one user's bot, now there and now away, until it is told to stop."""

    def __init__(self, base: str, token: str, style: str, rng: Random, ledger: Ledger) -> None:
        self._base = base
        self._token = token
        self._style = style
        self._rng = rng
        self._ledger = ledger

    async def keep(self) -> None:
        """Let a bot live and leave, again and again."""
        while True:
            seconds = self._rng.uniform(4.0, 30.0)
            try:
                if self._style == "sdk":
                    await self._keep_sdk(seconds)
                else:
                    leave = self._rng.choice(("close", "abort", "twice"))
                    protocol = 1 if self._style == "legacy" else 2
                    bot = CableBot(self._base, self._token, protocol=protocol, rng=self._rng)
                    await bot.live(seconds, leave)
            except (WebSocketException, OSError, TimeoutError, Refusal) as error:
                self._ledger.met(f"bot {self._style}", error)
            self._ledger.count("bots that left")
            await asyncio.sleep(self._rng.uniform(0.0, 1.5))

    async def _keep_sdk(self, seconds: float) -> None:
        async with Door(int(self._base.rpartition(":")[2])) as door:
            bot = sdk_bot(f"http://127.0.0.1:{door.port}", self._token, door.cut)
            # Both ways out: it finishes what it says, or it is cancelled in mid-word.
            async with bot:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await bot.serve()
                if self._rng.random() < 0.5:
                    door.cut()
                    await bot.stop(grace_s=0.0)
                else:
                    await bot.stop(grace_s=3.0)
