"""Everybody who uses a relay, all at once: `async with crowd(...)` is as long as they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import httpx

from bench.soak.bots import Keeper
from bench.soak.devices import Devices
from bench.soak.ledger import Ledger
from bench.soak.operators import Operator
from relay.demo.relay_process import RelayProcess
from relay.store.secrets import new_admin_token

STYLES: Final = ("sdk", "legacy", "protocol 2")


@asynccontextmanager
async def crowd(
    relay: RelayProcess, *, devices: int, rate: float, operators: int, seed: int
) -> AsyncIterator[Ledger]:
    """Let them come; at the end of the block all leave at once, and their sockets are closed.

    Devices come at a `rate` of their own (a second), whether the relay is fast or slow, or a
    machine that gets busier or idler would look like a trend; `devices` is the most at a time.
    """
    ledger, rng = Ledger(), Random(seed)
    token = new_admin_token()
    await relay.store.add_admin_token(token)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
    async with (
        httpx.AsyncClient(base_url=relay.base, trust_env=False, timeout=30, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):
        keepers = [
            Keeper(relay.base, token_, STYLES[number % len(STYLES)], Random(seed + number), ledger)
            for number, token_ in enumerate(relay.sdk_tokens)
        ]
        tasks = [group.create_task(keeper.keep()) for keeper in keepers]
        asking = Devices(http, relay.access_key, relay.user_ids, rng, ledger)
        tasks.append(group.create_task(_come(asking.one, rng, rate, devices)))
        for _ in range(operators):
            operator = Operator(http, token, rng, ledger)
            tasks.append(group.create_task(_again(operator.one, rng, 2.0)))
        try:
            yield ledger
        finally:
            for task in tasks:
                task.cancel()


async def _come(
    one: Callable[[], Coroutine[None, None, None]], rng: Random, rate: float, at_most: int
) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with asyncio.TaskGroup() as group:
        there: set[asyncio.Task[None]] = set()
        while True:
            due += rng.expovariate(rate)
            await asyncio.sleep(due - loop.time())
            if len(there) < at_most:
                task = group.create_task(one())
                there.add(task)
                task.add_done_callback(there.discard)


async def _again(one: Callable[[], Awaitable[None]], rng: Random, pause_s: float) -> None:
    while True:
        await one()
        await asyncio.sleep(rng.uniform(0.2, 1.8) * pause_s)
