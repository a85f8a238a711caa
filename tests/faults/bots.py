"""`python -m tests.faults.bots`: bots that answer what `content.py` says. A process to kill.

Reads one line of JSON, `{"url", "bots": [[id, token], ...], "legacy", "times", "limits"}`, says
`ready` once all are connected, and then a line for each outcome.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from relay_sdk import Bot, Command, ConnectionTimes, ReplyOutcome, SenderLimits
from tests.faults.content import read_question
from tests.support.bots import V2_4_0, LegacyBot, in_order
from tests.support.cable import open_cable, to_json

COMMANDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Orders:
    """What the process is told."""

    url: str
    bots: list[list[Any]]
    legacy: bool
    times: dict[str, float]
    limits: dict[str, float]


def reliable(orders: Orders, token: str) -> Bot:
    """A bot of the SDK."""
    bot = Bot(
        orders.url,
        token,
        times=ConnectionTimes(**orders.times),
        limits=SenderLimits(**orders.limits),  # type: ignore[arg-type]
    )

    async def answer(command: Command) -> None:
        asked = read_question(command.text)
        async with bot.reply(command) as reply:
            for sequence in range(asked.chunks):
                await reply.write(asked.piece(sequence))
                if asked.pause_ms:
                    await asyncio.sleep(asked.pause_ms / 1000)
        _tell(await reply.closed(), command.stream_id)

    bot.on_command(answer)
    return bot


def _tell(outcome: ReplyOutcome, stream_id: str) -> None:
    print(json.dumps({"stream_id": stream_id, "outcome": outcome.outcome}), flush=True)


async def legacy(orders: Orders, bot_id: int, token: str) -> None:
    """A bot that speaks as SDK 2.4.0 does. It answers one question after the other."""
    url = f"{orders.url.replace('http', 'ws')}/cable?sdk_token={token}&bot_id={bot_id}"
    async with open_cable(url) as cable:
        await cable.wait(lambda frame: frame.get("type") == "welcome")
        bot = LegacyBot(cable, to_json({"channel": "BotChannel", "bot_id": str(bot_id)}), V2_4_0)
        await cable.subscribe(bot.identifier)
        print("ready", flush=True)
        for number in range(COMMANDS_MAX):
            while len(found := cable.messages("execute_command")) <= number:
                with suppress(TimeoutError):
                    await cable.wait_message("execute_command", after=len(cable.frames))
            asked = read_question(found[number]["params"]["message"])
            ledger = await bot.begin(found[number])
            script = in_order([asked.piece(n) for n in range(asked.chunks)])
            for sequence, content in enumerate(script.chunks):
                await bot.put(ledger, bot.number(ledger, content), sequence)
                await asyncio.sleep(asked.pause_ms / 1000)
            await bot.finish(ledger)


async def main() -> None:
    """Answer until killed."""
    orders = Orders(**json.loads(await asyncio.to_thread(sys.stdin.readline)))
    if orders.legacy:
        await asyncio.gather(*(legacy(orders, bot_id, token) for bot_id, token in orders.bots))
        return
    bots = [reliable(orders, token) for _, token in orders.bots]
    for bot in bots:
        await bot.__aenter__()
    await asyncio.gather(*(bot.connected() for bot in bots))
    print("ready", flush=True)
    await asyncio.gather(*(bot.serve() for bot in bots))


if __name__ == "__main__":
    asyncio.run(main())
