"""`python -m bench.sizes`: what connections, streams and chunks cost in memory, CPU and bytes.

The figures of docs/deployment.md. One relay with the memory broker and one with a Redis of its
own (append-only file, fsync every second) are filled step by step, and their resident memory is
read after each step; then both are loaded at some rates. Redis is left out where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from redis.asyncio import Redis

from bench import runner
from bench.__main__ import QUIET, Options, machine, measure
from bench.load import TEXT, Spec, Stream, cpu_s, identifier_of, open_stream, question, subscribe
from bench.wire import MARK_BYTES, BotSocket, DeviceSocket
from relay.demo.relay_process import RelayProcess, relay_process

WARM: Final = 20
"""Streams that are opened, answered and ended first, so that no first time is measured."""

SETTLE_S: Final = 2.0
"""What is freed and written in the background shall be done when memory is read."""

IDLE_S: Final = 6.0
"""A multiple of the pings' interval."""

LOADED_S: Final = 2.0
"""Of load before what is measured."""

PACE_S: Final = 0.02
"""Between two chunks whose bytes are counted: so that each is acknowledged by itself."""


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes for each one."""

    bot: float
    stream: float
    """With the response of its device."""
    reader: float
    chunk: float
    bot_cpu: float
    """Seconds of CPU in a second, for pings and keep-alives alone."""
    stream_cpu: float
    redis_stream: float = 0.0
    redis_chunk: float = 0.0
    redis_aof_chunk: float = 0.0


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes for each chunk, without TCP/IP headers."""

    text: float
    bot_out: float
    bot_in: float
    device_in: float


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis of our own."""

    url: str
    client: Redis

    async def info(self, name: str) -> float:
        """Return one of the numbers that it tells about itself."""
        told = await self.client.info("all")
        return float(told[name])

    async def used(self) -> tuple[float, float, float]:
        """Return the CPU seconds so far, and the bytes that came in and went out."""
        told = await self.client.info("all")
        return (
            told["used_cpu_user"] + told["used_cpu_sys"],
            told["total_net_input_bytes"],
            told["total_net_output_bytes"],
        )


@asynccontextmanager
async def redis_server() -> AsyncIterator[Server | None]:
    """Run one in a temporary folder, on a Unix socket; None where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with TemporaryDirectory(prefix="relay-sizes-") as folder:
        path = Path(folder, "redis.sock")
        options = ["--port", "0", "--unixsocket", str(path), "--dir", folder, "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "everysec"]
        process = await asyncio.create_subprocess_exec(
            program, *options, *durable, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(10):
                while not path.exists():  # noqa: ASYNC110, ASYNC240 - it says so in no other way
                    await asyncio.sleep(0.02)
            async with Redis(unix_socket_path=str(path)) as client:
                yield Server(f"unix://{path}", client)
        finally:
            process.terminate()
            await process.wait()


# --- memory ---------------------------------------------------------------------------------------


def spec_of(relay: RelayProcess) -> Spec:
    """Return what the load generator's functions want to know; times play no part."""
    return Spec(
        "relay",
        relay.base,
        relay.pid,
        relay.sdk_tokens,
        relay.user_ids,
        relay.access_key,
        protocol=2,
        interval_ms=1.0,
        warmup_s=0.0,
        duration_s=1.0,
    )


async def resident(pid: int) -> int:
    """Return the resident memory of a process, after a moment of rest."""
    await asyncio.sleep(SETTLE_S)
    status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 - it is no disk
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def idle_cpu(pid: int) -> float:
    """Return the share of a core that a process takes while nobody says anything."""
    before = cpu_s(pid)
    await asyncio.sleep(IDLE_S)
    return (cpu_s(pid) - before) / IDLE_S


async def say(spec: Spec, streams: Sequence[Stream], chunks: int) -> None:
    """Let every stream say so much, and wait until every device has it."""
    identifier = identifier_of(spec)
    for sequence in range(chunks):
        for stream in streams:
            stream.bot.write(stream.chunk(identifier, sequence))
        async with asyncio.timeout(30):
            # The devices count by themselves; nothing tells when the last of them is done.
            while any(len(s.device.read_at) <= sequence for s in streams):  # noqa: ASYNC110
                await asyncio.sleep(0.002)


async def warm_up(spec: Spec) -> None:
    """Open, answer and end some streams."""
    streams = [await open_stream(spec, number) for number in range(WARM)]
    await say(spec, streams, 20)
    for stream in streams:
        stream.bot.write(stream.end(identifier_of(spec), 20))
    await asyncio.wait([stream.device.closed for stream in streams], timeout=10)
    for stream in streams:
        stream.bot.close()
        stream.device.close()


async def held(count: int, chunks: int, redis: Server | None) -> Held:
    """Fill a relay step by step; returns what each step cost for each one."""
    settings = {**QUIET, **({"RELAY_BROKER_URL": redis.url} if redis else {})}
    async with relay_process(settings, bots=WARM + count) as relay:
        spec = spec_of(relay)
        await warm_up(spec)
        at, idle = [await resident(relay.pid)], [await idle_cpu(relay.pid)]
        bots = [await connect(spec, WARM + number) for number in range(count)]
        at.append(await resident(relay.pid))
        idle.append(await idle_cpu(relay.pid))
        stored = [await redis.info("used_memory")] if redis else []
        streams = [await ask(spec, WARM + number, bot) for number, bot in enumerate(bots)]
        at.append(await resident(relay.pid))
        stored += [await redis.info("used_memory")] if redis else []
        idle.append(await idle_cpu(relay.pid))
        readers = [await follow(spec, stream.stream_id) for stream in streams]
        at.append(await resident(relay.pid))
        # What the chunks cost, without what their readers' sockets may hold for a moment.
        for reader in readers:
            reader.close()
        before = await resident(relay.pid)
        aof = await redis.info("aof_current_size") if redis else 0.0
        await say(spec, streams, chunks)
        after = await resident(relay.pid)
        bot, stream_, reader_ = ((b - a) / count for a, b in pairwise(at))
        bot_cpu, stream_cpu = ((b - a) / count for a, b in pairwise(idle))
        each = (after - before) / (count * chunks)
        if redis is None:
            return Held(bot, stream_, reader_, each, bot_cpu, stream_cpu)
        full = await redis.info("used_memory")
        return Held(
            bot,
            stream_,
            reader_,
            each,
            bot_cpu,
            stream_cpu,
            redis_stream=(stored[1] - stored[0]) / count,
            redis_chunk=(full - stored[1]) / (count * chunks),
            redis_aof_chunk=(await redis.info("aof_current_size") - aof) / (count * chunks),
        )


def address_of(spec: Spec) -> tuple[str, int]:
    """Return host and port."""
    host, _, port = spec.base.removeprefix("http://").partition(":")
    return host, int(port)


async def connect(spec: Spec, number: int) -> BotSocket:
    """Connect a bot."""
    host, port = address_of(spec)
    loop = asyncio.get_running_loop()
    _, bot = await loop.create_connection(lambda: BotSocket(is_websocket=True), host, port)
    await subscribe(spec, number, bot)
    return bot


async def ask(spec: Spec, number: int, bot: BotSocket) -> Stream:
    """Let a device ask this bot."""
    host, port = address_of(spec)
    _, device = await asyncio.get_running_loop().create_connection(DeviceSocket, host, port)
    device.write(question(spec, number))
    async with asyncio.timeout(10):
        command = json.loads(await bot.asked)
        await device.begun
    return Stream(number, bot, device, command["message"]["metadata"]["session_id"])


async def follow(spec: Spec, stream_id: str) -> DeviceSocket:
    """Read a stream by `GET /streams/{id}/events`."""
    host, port = address_of(spec)
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(DeviceSocket, host, port)
    reader.write(
        f"GET /streams/{stream_id}/events HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Bearer {spec.access_key}\r\n\r\n".encode()
    )
    await reader.begun
    return reader


# --- bytes and time -------------------------------------------------------------------------------


async def wire(chunks: int) -> Wire:
    """Count what one paced answer puts on the wire, on both sides."""
    async with relay_process(QUIET, bots=1) as relay:
        spec = spec_of(relay)
        stream = await open_stream(spec, 0)
        identifier = identifier_of(spec)
        frames = [stream.chunk(identifier, sequence) for sequence in range(chunks)]
        to_bot, to_device = stream.bot.bytes_read, stream.device.bytes_read
        for number, data in enumerate(frames):
            stream.bot.write(data)
            async with asyncio.timeout(10):
                while len(stream.device.read_at) <= number:  # noqa: ASYNC110 - as in `say`
                    await asyncio.sleep(PACE_S)
        sent = sum(len(data) for data in frames)
        figures = (stream.bot.bytes_read - to_bot, stream.device.bytes_read - to_device)
        text = len(TEXT.encode()) + MARK_BYTES
        return Wire(text, sent / chunks, figures[0] / chunks, figures[1] / chunks)


async def load(streams: int, seconds: float, redis: Server | None) -> str:
    """Load a relay, and return one line of the table."""
    options = Options((streams,), seconds, LOADED_S, 1, 35.0, 2)
    before = await redis.used() if redis else ()
    run = await measure(
        "relay", streams, options, {"RELAY_BROKER_URL": redis.url} if redis else None
    )
    result = run.result
    rate = result.chunks / seconds
    cpu = result.server_cpu_percent / 100 / rate * 1e6
    line = (
        f"| {'redis' if redis else 'memory'} | {streams} | {rate:.0f} | {cpu:.0f} "
        f"| {result.latency.p50:.2f} | {result.latency.p99:.2f} | {result.lost} |"
    )
    if redis is None:
        return f"{line} | | |"
    every = result.chunks * (seconds + LOADED_S) / seconds
    used, read, written = ((b - a) / every for a, b in zip(before, await redis.used(), strict=True))
    return f"{line} {used * 1e6:.0f} | {read:.0f} | {written:.0f} |"


async def bench(count: int, chunks: int, seconds: float, rates: Sequence[int]) -> None:
    """Measure everything, and print it as tables."""
    print(f"{machine()}\n\nMemory, bytes for each one ({count} of each, {chunks} chunks):\n")
    print("| broker | idle bot | open stream with its device | reader | kept chunk ", end="")
    print("| CPU µs/s of an idle bot | CPU µs/s of an open stream ", end="")
    print(f"| Redis: stream | Redis: chunk | Redis: chunk in the AOF |\n{'|---' * 10}|", flush=True)
    kinds: tuple[bool, ...] = (False, True)
    for with_redis in kinds:
        async with redis_server() as server:
            if with_redis and server is None:
                continue
            one = await held(count, chunks, server if with_redis else None)
        print(
            f"| {'redis' if with_redis else 'memory'} | {one.bot:.0f} | {one.stream:.0f} "
            f"| {one.reader:.0f} | {one.chunk:.0f} "
            f"| {one.bot_cpu * 1e6:.0f} | {one.stream_cpu * 1e6:.0f} | {one.redis_stream:.0f} "
            f"| {one.redis_chunk:.0f} | {one.redis_aof_chunk:.0f} |",
            flush=True,
        )
    each = await wire(chunks)
    print(
        f"\nOn the wire, bytes for a chunk of {each.text:.0f} bytes of text: bot to relay "
        f"{each.bot_out:.0f}, relay to bot {each.bot_in:.0f}, relay to device "
        f"{each.device_in:.0f}\n"
    )
    print("| broker | streams | chunks/s | CPU µs of a chunk | p50 ms | p99 ms | lost ", end="")
    print(f"| Redis: CPU µs of a chunk | bytes in | bytes out |\n{'|---' * 10}|")
    for with_redis in kinds:
        for streams in rates:
            async with redis_server() as server:
                if not with_redis or server is not None:
                    print(await load(streams, seconds, server if with_redis else None), flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="bench.sizes", description="What things cost.")
    parser.add_argument("--count", type=int, default=500, help="bots, streams and readers")
    parser.add_argument("--chunks", type=int, default=100, help="for each stream")
    parser.add_argument("--seconds", type=float, default=8.0, help="of load, for each rate")
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 30, 60], metavar="STREAMS")
    given = parser.parse_args(sys.argv[1:])
    # Both sides of every connection: this process has one, the relay inherits the limit.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    runner.run(bench(given.count, given.chunks, given.seconds, given.rates))


if __name__ == "__main__":
    main()
