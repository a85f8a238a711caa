"""Two relay processes that share a real Redis and a real PostgreSQL, and lose nothing."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from relay_sdk import Bot, Command, ConnectionTimes, ReplyOutcome
from tests.support.bots import V2_4_0, as_recorded, legacy_bot, stream_of
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.pair import Front, Pair, Row, open_pair
from tests.support.postgres import postgres_server, postgres_url
from tests.support.server import BotSeed, RelayServer

__all__ = ["postgres_server", "postgres_url"]

pytestmark = [pytest.mark.needs("redis-server", "postgres", "initdb"), pytest.mark.timeout(150)]

TURN = load_incident()[1]
TOTAL = len(TURN.chunks)
BOTS = 50
QUICK = ConnectionTimes(first_delay_s=0.05, delay_max_s=0.5, close_timeout_s=0.5)

RETRY_S = 0.1
"""How long a device waits before it tries the other relay, as an EventSource does by itself."""


@pytest.fixture
async def pair(postgres_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two relays, each with the other's bots and keys."""
    async with open_pair(postgres_url, tmp_path, bots=BOTS) as pair:
        yield pair


class Replayer:
    """A bot of the SDK that answers with the incident's second turn, a chunk each so often."""

    def __init__(self, url: str, seed: BotSeed, pause_s: float) -> None:
        self.bot = Bot(url, seed.token, times=QUICK)
        self.asked: list[str] = []
        self.outcome: asyncio.Future[ReplyOutcome] = asyncio.get_running_loop().create_future()
        self._pause_s = pause_s
        self.bot.on_command(self._answer)

    async def _answer(self, command: Command) -> None:
        self.asked.append(command.stream_id)
        async with self.bot.reply(command) as reply:
            for piece in TURN.chunks:
                await reply.write(piece)
                await asyncio.sleep(self._pause_s)
        self.outcome.set_result(await reply.closed())


@dataclass(slots=True)
class Device:
    """Asks at one relay and reads on at the other whenever its own is gone. The test's ledger."""

    nodes: tuple[RelayServer, RelayServer]
    at: int
    url: str = ""
    last: str = ""
    texts: dict[int, str] = field(default_factory=dict)
    ends: list[Any] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    reconnects: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stream_id(self) -> str:
        """Its stream."""
        return self.url.split("/")[2]

    @property
    def whole(self) -> str:
        """All that it read."""
        return "".join(self.texts[sequence] for sequence in sorted(self.texts))

    async def ask(self, pair: Pair, user_id: str) -> None:
        """Ask the user's bot."""
        node = self.nodes[self.at]
        async with httpx.AsyncClient(base_url=node.url, trust_env=False, timeout=30) as http:
            answer = await http.post(
                "/api/rokid/trigger",
                json=question(user_id),
                headers={"Authorization": f"Bearer {node.key}"},
            )
        assert answer.status_code == 200, answer.text
        self.url = answer.json()["events_url"]
        pair.hide(self.url.partition("ticket=")[2])

    async def read(self) -> None:
        """Read to the end, from one relay or the other; no event comes twice."""
        while not self.ends:
            try:
                await self._read_on()
            except httpx.TransportError:
                await asyncio.sleep(RETRY_S)
            if not self.ends:
                self.reconnects += 1
                self.at = 1 - self.at

    async def _read_on(self) -> None:
        base = self.nodes[self.at].url
        headers = {"Last-Event-ID": self.last} if self.last else {}
        async with (
            httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as http,
            aconnect_sse(http, "GET", self.url, headers=headers) as source,
        ):
            if source.response.status_code >= 500:
                await asyncio.sleep(RETRY_S)
                return
            source.response.raise_for_status()
            async for event in source.aiter_sse():
                # A browser would not show an event without data: it only says when to come back.
                if event.data:
                    self._take(event.id, json.loads(event.data))

    def _take(self, place: str, data: dict[str, Any]) -> None:
        self.begun.set()
        if data["type"] == "stream_chunk":
            assert data["sequence"] not in self.texts, "an event came twice"
            assert data["sequence"] == len(self.texts), "an event was skipped"
            self.texts[data["sequence"]] = data["content"]
            self.last = place
        elif data["type"] == "stream_end":
            self.ends.append(data)
            self.last = place
        else:
            self.others.append(data["type"])


def assert_row(row: Row, device: Device, total: int) -> None:
    """The trace equals the test's own ledger."""
    everything = list(range(total))
    assert sorted(device.texts) == everything
    assert device.whole == TURN.text
    assert device.others == []
    assert (row["status"], row["outcome"]) == ("completed", "completed")
    assert (row["missing_sequences"], row["loss_position"]) == ([], None)
    assert row["sdk_total_chunks"] == row["sdk_chunk_count"] == row["sse_chunk_count"] == total
    assert row["sdk_content"] == row["sse_content"] == TURN.text
    # By arrival: what was sent again may come behind what follows it.
    assert sorted(point[0] for point in row["timeline"]) == everything
    lengths = {point[0]: point[4] for point in row["timeline"]}
    assert lengths == {sequence: len(text) for sequence, text in device.texts.items()}


async def test_a_bot_on_one_node_answers_a_device_on_the_other(pair: Pair) -> None:
    """All 60 of 60, each once, in both directions, and the traces say so."""
    for here, there in ((0, 1), (1, 0)):
        replayer = Replayer(pair.nodes[there].url, pair.seed.bots[here], 0.01)
        async with replayer.bot as bot:
            await bot.connected()
            device = Device(pair.nodes, here)
            await device.ask(pair, pair.seed.bots[here].user_id)
            await device.read()
            outcome = await replayer.outcome
        assert outcome == ReplyOutcome("completed", TOTAL, ())
        assert device.reconnects == 0
        assert_row(await pair.trace(device.stream_id), device, TOTAL)


@dataclass(slots=True)
class Load:
    """Bots behind one address for both relays, a question to each, and a device that reads it."""

    pair: Pair
    replayers: list[Replayer]
    devices: list[Device]

    @property
    def read(self) -> int:
        """How many chunks the devices have in all."""
        return sum(len(device.texts) for device in self.devices)

    async def until(self, share: float) -> None:
        """Wait until the devices have this share of everything."""
        async with asyncio.timeout(60):
            # Devices of this process count what they read: there is nothing else to wait for.
            while self.read < share * len(self.devices) * TOTAL:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def assert_whole(self) -> None:
        """Every text is whole at its device, and every trace equals the ledger."""
        for replayer, device in zip(self.replayers, self.devices, strict=True):
            outcome = await replayer.outcome
            assert outcome.whole, (device.stream_id, outcome)
            assert replayer.asked == [device.stream_id]
            row = await self.pair.trace(device.stream_id)
            assert_row(row, device, outcome.total_chunks)


@asynccontextmanager
async def loaded(pair: Pair, pause_s: float) -> AsyncIterator[tuple[Load, asyncio.Future[Any]]]:
    """Ask all bots at once, with devices at both relays; yields what reads all of the answers."""
    async with AsyncExitStack() as closing:
        front = await closing.enter_async_context(Front(pair))
        replayers = [Replayer(front.url, bot, pause_s) for bot in pair.seed.bots]
        for replayer in replayers:
            await closing.enter_async_context(replayer.bot)
        await asyncio.gather(*(replayer.bot.connected() for replayer in replayers))
        # Bots come to both in turn; two devices of four read where their bot is not.
        devices = [Device(pair.nodes, number // 2 % 2) for number in range(len(replayers))]
        users = [bot.user_id for bot in pair.seed.bots]
        await asyncio.gather(*(d.ask(pair, u) for d, u in zip(devices, users, strict=True)))
        reading = asyncio.gather(*(device.read() for device in devices))
        closing.callback(reading.cancel)
        yield Load(pair, replayers, devices), reading


async def test_a_node_is_killed_and_redis_is_restarted_under_50_replays(pair: Pair) -> None:
    """Whatever was under way: every text is whole, nothing comes twice, every trace is right."""
    async with loaded(pair, 0.1) as (load, reading):
        await load.until(0.2)
        pair.nodes[0].kill()
        await load.until(0.4)
        await asyncio.to_thread(pair.redis.kill)
        await asyncio.to_thread(pair.redis.start)
        await asyncio.wait_for(reading, 90)
        await load.assert_whole()
    assert sum(device.reconnects > 0 for device in load.devices) >= BOTS // 3


async def test_a_rolling_restart_under_load_loses_nothing(pair: Pair) -> None:
    """One relay after the other ends within 10 s and comes back, while 50 answers run."""
    loop = asyncio.get_running_loop()
    async with loaded(pair, 0.25) as (load, reading):
        for node, share in zip(pair.nodes, (0.15, 0.55), strict=True):
            await load.until(share)
            began = loop.time()
            assert await asyncio.to_thread(node.terminate) == 0
            assert loop.time() - began <= 10.0
            await asyncio.to_thread(node.start)
        await asyncio.wait_for(reading, 90)
        await load.assert_whole()


async def listening(node: RelayServer) -> None:
    """Wait until a bot of this relay can be asked: that is a moment behind its greeting."""
    async with asyncio.timeout(10):
        # Another process: its log is all that it says.
        while "bot_connected" not in node.log:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def hang(node: RelayServer) -> None:
    """Stop a relay in the middle: what is sent to it from now on it has not read when it dies."""
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)


async def test_a_command_whose_node_dies_with_it_is_answered_all_the_same(pair: Pair) -> None:
    """It was posted to the bot's relay, which never read it: the bot is asked at the other one."""
    there, here = pair.nodes
    async with Front(pair) as front:
        replayer = Replayer(front.url, pair.seed.bots[0], 0.01)
        async with replayer.bot as bot:
            await bot.connected()
            await listening(there)
            hang(there)
            device = Device(pair.nodes, 1)
            await device.ask(pair, pair.seed.bots[0].user_id)
            reading = asyncio.ensure_future(device.read())
            there.kill()
            await asyncio.wait_for(reading, 60)
            outcome = await replayer.outcome
    assert replayer.asked == [device.stream_id]
    assert outcome == ReplyOutcome("completed", TOTAL, ())
    assert (device.reconnects, device.at) == (0, pair.nodes.index(here))
    assert_row(await pair.trace(device.stream_id), device, TOTAL)


async def test_a_legacy_bot_is_asked_once_whatever_dies(pair: Pair) -> None:
    """At the other relay where its own never asked it, and not again where it did."""
    there, here = pair.nodes
    seed = pair.seed.bots[0]
    async with legacy_bot(there, V2_4_0):
        await listening(there)
        hang(there)
        unread = Device(pair.nodes, 1)
        await unread.ask(pair, seed.user_id)
        there.kill()
    await asyncio.to_thread(there.start)
    script = as_recorded(TURN, numbered=True, speed=20)
    async with legacy_bot(there, V2_4_0) as bot:
        command = await bot.command()
        assert stream_of(command) == unread.stream_id
        there.kill()
    async with legacy_bot(here, V2_4_0) as bot:
        await asyncio.gather(bot.answer(command, script), unread.read())
        row = await pair.trace(unread.stream_id)
        assert bot.cable.messages("execute_command") == []
    assert unread.whole == TURN.text
    assert (row["status"], row["missing_sequences"]) == ("completed", [])


async def test_what_a_dead_node_leaves_behind_ends_honestly(
    postgres_url: str, tmp_path: Path
) -> None:
    """Its bot is gone with it: the other relay adopts the stream, waits the grace, and tells."""
    async with open_pair(postgres_url, tmp_path, bots=1, bot_grace_seconds="1") as pair:
        there, _ = pair.nodes
        async with legacy_bot(there, V2_4_0) as bot:
            await listening(there)
            device = Device(pair.nodes, 1)
            await device.ask(pair, pair.seed.bots[0].user_id)
            ledger = await bot.begin(await bot.command())
            for sequence in range(3):
                await bot.put(ledger, bot.number(ledger, TURN.chunks[sequence]), sequence)
            await bot.until_silent()
            there.kill()
        await asyncio.wait_for(device.read(), 60)
        row = await pair.trace(device.stream_id)
    assert [end["outcome"] for end in device.ends] == ["bot_gone"]
    assert device.whole == "".join(TURN.chunks[:3])
    assert (row["status"], row["outcome"]) == ("anomaly", "bot_gone")
    assert row["sdk_chunk_count"] == row["sse_chunk_count"] == 3


async def test_a_legacy_bot_answers_a_device_on_the_other_node(pair: Pair) -> None:
    """SDK 2.4.0 knows nothing of nodes, and need not: each piece as it was sent."""
    here, there = pair.nodes
    async with (
        legacy_bot(there, V2_4_0) as bot,
        Glasses(here.url, here.key).ask(question(here.bot().user_id)) as answer,
    ):
        script = as_recorded(TURN, numbered=True, speed=20)
        ledger, _ = await asyncio.gather(bot.answer(await bot.command(), script), answer.read())
    assert_finished(answer)
    assert answer.pieces == list(TURN.chunks)
    row = await pair.trace(answer.stream_id)
    assert (row["status"], row["missing_sequences"]) == ("completed", [])
    assert [point[0] for point in row["timeline"]] == ledger.sequences
