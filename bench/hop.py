"""`python -m bench.hop`: from a bot at one relay to a device at another, over a Redis between them.

The same load as `python -m bench`, with two relays. Each has a database of its own: their bots
have the same numbers, so that a question asked at the one finds the bot at the other.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench import runner
from bench.__main__ import QUIET, machine
from bench.figures import Figures, figures
from bench.load import OPEN_S, Spec, Stream, cpu_s, question, send_all, settle, subscribe
from bench.sizes import Server, redis_server
from bench.wire import BotSocket, DeviceSocket
from relay.demo.relay_process import RelayProcess, relay_process


@dataclass(frozen=True, slots=True)
class Hop:
    """What one run measured, in milliseconds."""

    latency: Figures
    late: Figures
    chunks: int
    lost: int
    relays_us: float
    """CPU of both relays together, for each chunk."""
    redis_us: float
    """CPU of the Redis between them, for each chunk, and the bytes that it reads and writes."""
    redis_read: float
    redis_written: float

    def line(self, streams: int) -> str:
        """Return it as a row of a Markdown table."""
        one = self.latency
        return (
            f"| {streams} | {one.p50:.2f} | {one.p99:.2f} | {one.max:.2f} "
            f"| {self.late.p99:.2f} | {self.chunks} | {self.lost} "
            f"| {self.relays_us:.0f} | {self.redis_us:.0f} "
            f"| {self.redis_read:.0f} | {self.redis_written:.0f} |"
        )


def spec_of(relay: RelayProcess, interval_ms: float, warmup_s: float, seconds: float) -> Spec:
    """Return the load of one relay."""
    return Spec(
        kind="relay",
        base=relay.base,
        pid=relay.pid,
        tokens=relay.sdk_tokens,
        users=relay.user_ids,
        access_key=relay.access_key,
        protocol=2,
        interval_ms=interval_ms,
        warmup_s=warmup_s,
        duration_s=seconds,
    )


async def open_across(here: Spec, there: Spec, number: int) -> Stream:
    """Connect a bot there and a device here, and let the device ask."""
    loop = asyncio.get_running_loop()
    host, _, port = there.base.removeprefix("http://").partition(":")
    _, bot = await loop.create_connection(lambda: BotSocket(is_websocket=True), host, int(port))
    await subscribe(there, number, bot)
    host, _, port = here.base.removeprefix("http://").partition(":")
    _, device = await loop.create_connection(DeviceSocket, host, int(port))
    device.write(question(here, number))
    stream_id = json.loads(await bot.asked)["message"]["metadata"]["session_id"]
    await device.begun
    return Stream(number, bot, device, stream_id)


async def measure_hop(here: Spec, there: Spec, redis: Server) -> Hop:
    """Send everything and return what was measured behind the warm-up."""
    async with asyncio.timeout(OPEN_S):
        numbers = range(len(here.tokens))
        streams = [await open_across(here, there, number) for number in numbers]
    # A collection of this process would be taken for a pause of the relays.
    gc.collect()
    gc.freeze()
    gc.disable()
    before = (cpu_s(here.pid) + cpu_s(there.pid), *await redis.used())
    late, _, _ = await send_all(there, streams)
    await settle(there, streams)
    every = len(streams) * here.chunks
    after = (cpu_s(here.pid) + cpu_s(there.pid), *await redis.used())
    relays, used, read, written = ((b - a) / every for a, b in zip(before, after, strict=True))
    gc.enable()
    sequences = range(here.warmup_chunks, here.chunks)
    took = [
        (stream.device.read_at[sequence] - stream.sent_at[sequence]) * 1000
        for stream in streams
        for sequence in sequences
        if sequence in stream.device.read_at
    ]
    for stream in streams:
        stream.bot.close()
        stream.device.close()
    total = len(streams) * len(sequences)
    lost = total - len(took)
    costs = (relays * 1e6, used * 1e6, read, written)
    return Hop(figures(took), figures(late), total, lost, *costs)


async def bench(arguments: Sequence[str]) -> None:
    """Run each number of streams, and print a table."""
    parser = argparse.ArgumentParser(prog="bench.hop", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[10, 50], metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, for each run")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds before that")
    parser.add_argument("--interval-ms", type=float, default=35.0, help="between two chunks")
    given = parser.parse_args(arguments)
    print(f"{machine()}\n\n| streams | p50 | p99 | max | late p99 | chunks | lost ", end="")
    print("| relays, µs of a chunk | Redis, µs | bytes in | bytes out |", flush=True)
    print("|---" * 11 + "|", flush=True)
    for streams in given.streams:
        async with redis_server() as redis:
            if redis is None:
                raise SystemExit("bench.hop: redis-server is not installed")
            settings = {**QUIET, "RELAY_BROKER_URL": redis.url}
            async with (
                relay_process(settings, bots=streams) as here,
                relay_process(settings, bots=streams) as there,
            ):
                chosen = (given.interval_ms, given.warmup, given.seconds)
                hop = await measure_hop(spec_of(here, *chosen), spec_of(there, *chosen), redis)
                print(hop.line(streams), flush=True)


if __name__ == "__main__":
    runner.run(bench(sys.argv[1:]))
