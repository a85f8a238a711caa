"""One kill: some answers run, something is killed and comes back, and everything is read again."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final, cast

import httpx
from redis.asyncio import Redis

from bench.durability.bots import OneAnswer, SdkAnswer, Trusting
from bench.durability.tally import Fate
from relay.admin.traces import TraceFilter
from relay.broker.redis.keys import Keys
from relay.broker.redis.records import read_entry
from relay.store.store import Store
from relay_sdk import Answer, Device, DeviceTimes

PAIRS: Final = 4
"""So many answers of each of the two kinds of bots run at a time."""

DEFAULT_PREFIX: Final = "relay"
"""`RELAY_REDIS_PREFIX`, as it is by default."""

CHUNKS: Final = (20, 160)
"""How many chunks one answer has: from and to. Some end before the kill, some while it lasts."""

KILL_S: Final = (0.1, 1.0)
"""When the kill comes, in seconds since the last answer has begun."""

OVER_S: Final = 30.0
"""By when every answer must have an end, since the kill."""

_PIECE: Final = re.compile(r"<(\d+)>")
# A relay that has just started on a busy machine may know a stream some seconds later only.
_TIMES: Final = DeviceTimes(first_delay_s=0.05, delay_max_s=0.5, unknown_s=20.0, give_up_s=20.0)

Break = Callable[[Callable[[], None]], Awaitable[None]]
"""Kills something and brings it back; calls what it is given in between, while nothing can be
acknowledged."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A relay with bots and a key, as clients see it."""

    url: str
    key: str
    tokens: Sequence[str]
    users: Sequence[str]
    store: Store
    redis_port: Callable[[], int] | None = None
    """Where the primary listens; None with the memory broker."""


@dataclass(slots=True)
class Running:
    """One answer on its way."""

    bot: OneAnswer
    answer: Answer
    acked: frozenset[int] = frozenset()
    ended_before: bool = False

    def freeze(self) -> None:
        """Note what was acknowledged until now."""
        self.acked = frozenset(self.bot.said.acked)
        self.ended_before = bool(self.bot.said.outcome)


async def play(stage: Stage, kill: int, break_it: Break, rng: Random) -> list[Fate]:
    """Run one kill; returns what became of each answer, without what the traces say."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running: list[Running] = []
        for number in range(2 * PAIRS):
            make = SdkAnswer if number % 2 else Trusting
            bot = make(stage.url, stage.tokens[number], rng.randint(*CHUNKS))
            group.create_task(bot.run(stop))
            device = Device(stage.url, stage.key, user_id=stage.users[number], times=_TIMES)
            running.append(Running(bot, device.ask("go")))
        await _bots_are_there(stage)
        reading = [group.create_task(one.answer.read()) for one in running]
        async with asyncio.timeout(OVER_S):
            for one in running:
                await one.bot.said.begun.wait()
        await asyncio.sleep(rng.uniform(*KILL_S))
        await break_it(lambda: _freeze(running))
        with suppress(TimeoutError):
            async with asyncio.timeout(OVER_S):
                await asyncio.wait(reading)
                # A device's end and what the bot is told of it travel apart.
                while not all(one.bot.said.outcome for one in running):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        fates = [await _fate(stage, kill, one) for one in running]
        for one in running:
            one.answer.close()
        stop.set()
    return fates


def _freeze(running: Sequence[Running]) -> None:
    for one in running:
        one.freeze()


async def _bots_are_there(stage: Stage) -> None:
    """Wait until the relay has all of them; it says so by what it counts."""
    async with (
        httpx.AsyncClient(base_url=stage.url, trust_env=False, timeout=10) as http,
        asyncio.timeout(OVER_S),
    ):
        told = ""
        while f"\nrelay_bot_connections {2.0 * PAIRS}" not in told:
            told = (await http.get("/metrics")).text
            await asyncio.sleep(0.05)


async def _fate(stage: Stage, kill: int, one: Running) -> Fate:
    return Fate(
        kill=kill,
        stream_id=one.answer.stream_id,
        resends=isinstance(one.bot, SdkAnswer),
        chunks=one.bot.said.sent,
        acked=one.acked,
        stored=await _stored(stage, one.answer.stream_id),
        shown=_pieces(one.answer.text),
        outcome=one.bot.said.outcome,
        ended_before=one.ended_before,
        trace=None,
    )


async def _stored(stage: Stage, stream_id: str) -> frozenset[int]:
    """Read the stream from its start: in Redis itself, or as a device that was never there before.

    A relay that lived through a failover may still know what its Redis does not.
    """
    if stage.redis_port is not None:
        key = Keys(DEFAULT_PREFIX, "").log(stream_id)
        async with Redis(host="127.0.0.1", port=stage.redis_port()) as redis:
            found = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(key))
        return _pieces("".join(read_entry(fields).content for _, fields in found))
    async with (
        asyncio.timeout(OVER_S),
        httpx.AsyncClient(base_url=stage.url, trust_env=False, timeout=OVER_S) as http,
    ):
        while True:
            text = await _read(stage, http, stream_id)
            if text is not None:
                return _pieces(text)
            await asyncio.sleep(0.2)


async def _read(stage: Stage, http: httpx.AsyncClient, stream_id: str) -> str | None:
    """Return the text of a stream; None where the relay, or its database, is not back yet."""
    headers = {"Authorization": f"Bearer {stage.key}"}
    text = ""
    try:
        async with http.stream("GET", f"/streams/{stream_id}/events", headers=headers) as response:
            if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                return None
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    text += json.loads(line[5:]).get("content", "")
    except httpx.TransportError:
        return None
    return text


def _pieces(text: str) -> frozenset[int]:
    return frozenset(map(int, _PIECE.findall(text)))


async def outcomes(store: Store) -> dict[str, str]:
    """Return what the traces say of each stream; empty for one that has not ended."""
    found: dict[str, str] = {}
    async for rows in store.archive.export_traces(TraceFilter()):
        for row in rows:
            has_ended = row.status in ("completed", "anomaly")
            found[row.stream_id] = row.outcome if has_ended else ""
    return found
