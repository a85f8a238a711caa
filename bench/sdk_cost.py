"""What a chunk costs a bot that is made with the Python SDK.

`python -m bench.sdk_cost URL TOKEN CHUNKS CORE` is that bot, a process of its own: it answers one
question with so many chunks, as fast as the relay takes them, and prints what that took.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from bench.contestants import ROOT, SETTINGS, Cores
from relay.demo.relay_process import relay_process
from relay_sdk import Bot, Command

TEXT: Final = "今天天气真好，我们"
ANSWER_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class SdkCost:
    """What one answer took."""

    cpu_us: float
    """Of the bot's process, for each chunk."""
    chunks_per_s: float


async def sdk_cost(chunks: int, cores: Cores) -> SdkCost:
    """Let a bot of the SDK say so many chunks over a relay with the memory broker."""
    async with relay_process(SETTINGS) as relay:
        bot = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.sdk_cost"),
            *(relay.base, relay.sdk_tokens[0], str(chunks), str(cores.load)),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert bot.stdout is not None
            async with asyncio.timeout(ANSWER_S):
                await bot.stdout.readline()
                await _ask(relay.base, relay.access_key, relay.user_ids[0])
                told = await bot.stdout.readline()
        finally:
            if bot.returncode is None:
                bot.kill()
            await bot.wait()
    return msgspec.json.decode(told, type=SdkCost)


async def _ask(base: str, key: str, user: str) -> None:
    question = {
        "message_id": "bench",
        "agent_id": "bench",
        "user_id": user,
        "message": [{"role": "user", "type": "text", "text": "go"}],
    }
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client,
        client.stream("POST", f"{base}/sse/rokid", json=question, headers=headers) as response,
    ):
        response.raise_for_status()
        async for _ in response.aiter_raw():
            pass


async def _answer(url: str, token: str, chunks: int) -> None:
    bot = Bot(url, token)
    over = asyncio.Event()

    @bot.on_command
    async def answer(_: Command) -> AsyncIterator[str]:
        warm = chunks // 10
        cpu, began = time.process_time(), time.monotonic()
        for number in range(warm + chunks):
            if number == warm:
                cpu, began = time.process_time(), time.monotonic()
            yield TEXT
        used, took = time.process_time() - cpu, time.monotonic() - began
        cost = SdkCost(used / chunks * 1e6, chunks / took)
        print(msgspec.json.encode(cost).decode(), flush=True)
        over.set()

    async with bot:
        await bot.connected()
        print("ready", flush=True)
        await over.wait()
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[4])})
    asyncio.run(_answer(sys.argv[1], sys.argv[2], int(sys.argv[3])))
