"""The load generator, a process of its own: `python -m bench.load`, a `Spec` in, a `Result` out.

Open loop: every stream sends a chunk each `interval_ms` whatever the server does, and the streams
are spread evenly over the interval. A latency is the time from the write of a chunk to the read
that brought it. `late` tells how far the generator itself was behind its plan.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bench.figures import Figures, figures
from bench.wire import BotSocket, DeviceSocket, frame

TEXT: Final = "今天天气真好，我们"
"""Behind its mark each chunk has some Chinese text, as real ones do."""

SETTLE_S: Final = 3.0
"""How long the last chunks may be on their way."""

OPEN_S: Final = 30.0
"""How long it may take until every bot is asked."""

UPGRADE: Final = (
    "GET /cable HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YmVuY2gtYmVuY2gtYmVuYw==\r\n"
    "Authorization: Bearer {token}\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """What to do to which server."""

    kind: str
    """`relay`, `naive` or `loopback`."""
    base: str
    pid: int
    tokens: tuple[str, ...]
    """One for each stream."""
    users: tuple[str, ...]
    access_key: str
    protocol: int
    interval_ms: float
    warmup_s: float
    duration_s: float

    @property
    def warmup_chunks(self) -> int:
        """How many chunks of each stream are sent before those that count."""
        return int(self.warmup_s * 1000 / self.interval_ms)

    @property
    def chunks(self) -> int:
        """How many chunks each stream sends in all."""
        return self.warmup_chunks + int(self.duration_s * 1000 / self.interval_ms)


@dataclass(frozen=True, slots=True)
class Result:
    """What one run measured; the warm-up is left out of all of it."""

    latency: Figures
    late: Figures
    chunks: int
    lost: int
    repeated: int
    server_cpu_percent: float
    """Of one core."""
    generator_cpu_percent: float


@dataclass(slots=True)
class Stream:
    """One bot and its device."""

    number: int
    bot: BotSocket
    device: DeviceSocket
    stream_id: str = ""
    sent_at: list[float] = field(default_factory=list)

    def chunk(self, identifier: str, sequence: int) -> bytes:
        """Return the frame of one chunk."""
        content = f"#{sequence:06d}{TEXT}"
        data = {
            "type": "stream_chunk",
            "session_id": self.stream_id,
            "sequence": sequence,
            "content": content,
        }
        return _perform(identifier, data)

    def end(self, identifier: str, total: int) -> bytes:
        """Return the frame of the end."""
        data = {"type": "stream_end", "session_id": self.stream_id, "total_chunks": total}
        return _perform(identifier, data)


def _perform(identifier: str, data: Mapping[str, object]) -> bytes:
    inner = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    outer = {"command": "message", "identifier": identifier, "data": inner}
    return frame(json.dumps(outer, ensure_ascii=False, separators=(",", ":")).encode())


def identifier_of(spec: Spec) -> str:
    """Return the subscription's identifier."""
    return '{"channel":"BotChannel"' + (',"protocol":2}' if spec.protocol > 1 else "}")


async def connect_device(host: str, port: int) -> DeviceSocket:
    """Connect a device. Raises `OSError` where nobody listens."""
    _, device = await asyncio.get_running_loop().create_connection(DeviceSocket, host, port)
    return device


async def open_stream(
    spec: Spec,
    number: int,
    connect: Callable[[str, int], Awaitable[DeviceSocket]] = connect_device,
) -> Stream:
    """Connect a bot and a device, and let the device ask."""
    host, _, port = spec.base.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    is_websocket = spec.kind != "loopback"
    _, bot = await loop.create_connection(
        lambda: BotSocket(is_websocket=is_websocket), host, int(port)
    )
    device = await connect(host, int(port))
    stream = Stream(number, bot, device, str(number))
    if not is_websocket:
        bot.write(b"bot %d\n" % number)
        device.write(b"device %d\n" % number)
        await device.begun
        return stream
    await subscribe(spec, number, bot)
    if spec.kind == "naive":
        device.write(f"GET /sse/{number} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        await device.begun
        return stream
    device.write(question(spec, number))
    command = json.loads(await bot.asked)
    stream.stream_id = command["message"]["metadata"]["session_id"]
    await device.begun
    return stream


async def subscribe(spec: Spec, number: int, bot: BotSocket) -> None:
    """Make a connected socket the one of this bot."""
    bot.write(UPGRADE.format(token=spec.tokens[number]).encode())
    await bot.upgraded
    command = {"command": "subscribe", "identifier": identifier_of(spec)}
    bot.write(frame(json.dumps(command).encode()))
    await bot.confirmed


def question(spec: Spec, number: int) -> bytes:
    """Return the request of this user's device."""
    body = json.dumps(
        {
            "message_id": f"17721792{number:05d}",
            "agent_id": "bench",
            "user_id": spec.users[number],
            "message": [{"role": "user", "type": "text", "text": "hello"}],
        }
    )
    head = (
        "POST /sse/rokid HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {spec.access_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


async def send_all(spec: Spec, streams: Sequence[Stream]) -> tuple[list[float], float, float]:
    """Send everything in time; returns how late each chunk was, and both CPU shares."""
    identifier = identifier_of(spec)
    interval, late = spec.interval_ms / 1000, []
    start = time.monotonic() + interval
    counted_from, before = start, (0.0, 0.0)
    for sequence in range(spec.chunks):
        if sequence == spec.warmup_chunks:
            counted_from, before = time.monotonic(), (cpu_s(spec.pid), time.process_time())
        for stream in streams:
            due = start + (sequence + stream.number / len(streams)) * interval
            chunk = stream.chunk(identifier, sequence)
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            now = time.monotonic()
            stream.sent_at.append(now)
            stream.bot.write(chunk)
            if sequence >= spec.warmup_chunks:
                late.append((now - due) * 1000)
    after = cpu_s(spec.pid), time.process_time()
    lasted = time.monotonic() - counted_from
    server, generator = ((b - a) / lasted * 100 for a, b in zip(before, after, strict=True))
    return late, server, generator


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def settle(spec: Spec, streams: Sequence[Stream]) -> None:
    """Wait until every device has everything, or for `SETTLE_S`."""
    if spec.kind == "relay":
        for stream in streams:
            stream.bot.write(stream.end(identifier_of(spec), spec.chunks))
        # The relay closes an answer that is over.
        await asyncio.wait([stream.device.closed for stream in streams], timeout=SETTLE_S)
        return
    give_up = time.monotonic() + SETTLE_S
    while time.monotonic() < give_up:
        if all(len(stream.device.read_at) >= spec.chunks for stream in streams):
            return
        await asyncio.sleep(0.05)


async def run(spec: Spec) -> Result:
    """Open every stream, send, settle, and sum up."""
    async with asyncio.timeout(OPEN_S):
        streams = [await open_stream(spec, number) for number in range(len(spec.tokens))]
    # A collection of this process would be taken for a pause of the server.
    gc.collect()
    gc.freeze()
    gc.disable()
    late, server, generator = await send_all(spec, streams)
    await settle(spec, streams)
    latencies: list[float] = []
    lost = 0
    for stream in streams:
        for sequence in range(spec.warmup_chunks, spec.chunks):
            read_at = stream.device.read_at.get(sequence)
            if read_at is None:
                lost += 1
            else:
                latencies.append((read_at - stream.sent_at[sequence]) * 1000)
        stream.bot.close()
        stream.device.close()
    return Result(
        latency=figures(latencies),
        late=figures(late),
        chunks=len(latencies) + lost,
        lost=lost,
        repeated=sum(stream.device.repeated for stream in streams),
        server_cpu_percent=server,
        generator_cpu_percent=generator,
    )


def main() -> None:
    """Read a `Spec` from stdin and print its `Result`."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    print(msgspec.json.encode(asyncio.run(run(spec))).decode())


if __name__ == "__main__":
    main()
