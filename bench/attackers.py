"""The attackers, a process of their own: `python -m bench.attackers`, `Attack` in, `Tally` out.

They keep up so many connections of each kind until stdin ends; whoever is cut comes back at once.
Nothing they send is more than any stranger, or the owner of one bot's token, can send.

    slowloris   the beginning of a request, and then a byte of a header each second
    idle        a bot that subscribes and never says anything
    pings       a bot whose socket is full of pings, and that reads their pongs
    pongs       the same with pongs that nobody asked for
    fragments   a message of empty fragments that never ends
    frames      empty messages
    bodies      a request whose body comes in chunks of one byte
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bench.load import UPGRADE
from bench.wire import PING, PONG, frame

FLOODS: Final[Mapping[str, bytes]] = {
    "pings": frame(b"", PING),
    "pongs": frame(b"", PONG),
    "fragments": bytes([0x00, 0x80, 0, 0, 0, 0]),
    "frames": frame(b""),
    "bodies": b"1\r\na\r\n",
}
"""What a connection of each kind is full of."""

WRITE_BYTES: Final = 65_536
DRIBBLE_S: Final = 1.0
COMING_S: Final = 30.0
AGAIN_S: Final = 0.25
"""How soon whoever was cut is back: on average, as nobody's clocks agree."""

NICE: Final = 19
"""They share a core with the generator, which has to send in time."""

IDENTIFIER: Final = r"{\"channel\":\"BotChannel\",\"protocol\":2}"

REQUEST: Final = b"POST /sse/rokid HTTP/1.1\r\nHost: bench\r\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """How many connections of each kind, to where."""

    base: str
    tokens: tuple[str, ...]
    """One for each bot: of the idle ones first, the others use them too."""
    slowloris: int
    idle: int
    floods: Mapping[str, int]

    @property
    def connections(self) -> int:
        """How many there are in all."""
        return self.slowloris + self.idle + sum(self.floods.values())


@dataclass(slots=True)
class Tally:
    """What became of them, by kind."""

    opened: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    megabytes: dict[str, int] = field(default_factory=dict)
    """What was handed to their sockets."""
    answered: int = 0
    """How many idle bots were let in."""
    last_words: dict[str, str] = field(default_factory=dict)
    """The last thing that one of each kind was told."""

    def count(self, what: dict[str, int], kind: str) -> None:
        """Count one more."""
        what[kind] = what.get(kind, 0) + 1


class Attacker(asyncio.Protocol):
    """One connection."""

    def __init__(self, kind: str, hello: bytes, tally: Tally) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._kind = kind
        self._hello = hello
        self._tally = tally
        self._may_write = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._tally.count(self._tally.opened, self._kind)
        self._may_write.set()
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Note what is said; answer the pings of those who only want to stay."""
        if not self.answered.done():
            self.answered.set_result(None)
            self._tally.answered += self._kind == "idle"
        said = data[-100:].decode("latin-1")
        if "rate" in said or "HTTP/1.1 4" in said or "error" in said:
            self._tally.last_words[self._kind] = said
        while self._kind == "idle" and len(data) > 1 and data[0] != ord("H"):
            # Whole and short, as a server's pings are.
            size, opcode = data[1], data[0] & 0x0F
            payload, data = data[2 : 2 + size], data[2 + size :]
            if opcode == PING and self._transport is not None:
                self._transport.write(frame(payload, PONG))

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's word
        """See `asyncio.Protocol`."""
        self._tally.count(self._tally.cut, self._kind)
        self._may_write.set()
        for future in (self.gone, self.answered):
            if not future.done():
                future.set_result(None)

    async def dribble(self) -> None:
        """A byte each second, until it is cut."""
        assert self._transport is not None
        while not self.gone.done():
            self._transport.write(b"a")
            await asyncio.wait([self.gone], timeout=DRIBBLE_S)

    async def flood(self, piece: bytes) -> None:
        """As much as the socket takes, until it is cut."""
        assert self._transport is not None
        await self.answered
        block = piece * (WRITE_BYTES // len(piece))
        while not self.gone.done():
            self._transport.write(block)
            self._tally.count(self._tally.megabytes, self._kind)
            await self._may_write.wait()
            await asyncio.sleep(0)


def hello(kind: str, token: str) -> bytes:
    """Return what a connection of this kind begins with."""
    subscribe = f'{{"command":"subscribe","identifier":"{IDENTIFIER}"}}'.encode()
    match kind:
        case "slowloris":
            return REQUEST + b"X-Slow: "
        case "bodies":
            return REQUEST + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        case "fragments":
            beginning = bytes([0x01, 0x80, 0, 0, 0, 0])
            return UPGRADE.format(token=token).encode() + beginning
        case "idle":
            return UPGRADE.format(token=token).encode() + frame(subscribe)
        case _:
            return UPGRADE.format(token=token).encode()


async def keep_up(attack: Attack, kind: str, token: str, tally: Tally) -> None:
    """Keep one connection up, for ever."""
    host, _, port = attack.base.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, attacker = await loop.create_connection(
                lambda: Attacker(kind, hello(kind, token), tally), host, int(port)
            )
        except OSError:
            tally.count(tally.cut, kind)
        else:
            match kind:
                case "idle":
                    await attacker.gone
                case "slowloris":
                    await attacker.dribble()
                case _:
                    await attacker.flood(FLOODS[kind])
        await asyncio.sleep(random.uniform(0, 2 * AGAIN_S))


async def run(attack: Attack, stop: asyncio.Future[None]) -> Tally:
    """Keep all of them up until told to stop."""
    tally, tasks, loop = Tally(), [], asyncio.get_running_loop()

    def start(kind: str, number: int) -> None:
        token = attack.tokens[number % len(attack.tokens)]
        tasks.append(asyncio.create_task(keep_up(attack, kind, token, tally)))

    for number in range(max(attack.slowloris, attack.idle)):
        for kind, count in (("slowloris", attack.slowloris), ("idle", attack.idle)):
            if number < count:
                start(kind, number)
        if number % 20 == 0:
            await asyncio.sleep(0.02)  # a machine that is set up for attacks would be as slow
    for kind, count in attack.floods.items():
        for number in range(count):
            start(kind, number)
    # The streams come once the attackers are there, not in the rush of their coming.
    give_up = loop.time() + COMING_S
    while tally.answered < attack.idle and loop.time() < give_up:  # noqa: ASYNC110 - many sockets
        await asyncio.sleep(0.1)
    print("ready", flush=True)
    await stop
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    tally.megabytes = {kind: n * WRITE_BYTES // 1_000_000 for kind, n in tally.megabytes.items()}
    return tally


async def _until_stdin_ends(attack: Attack) -> Tally:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1) and not stop.done():
            stop.set_result(None)

    loop.add_reader(sys.stdin.fileno(), read)
    return await run(attack, stop)


def raise_limit(wanted: int) -> int:
    """Allow this process, and those that it starts, so many descriptors; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    given = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
    return given


def main() -> None:
    """Read an `Attack` from the first line of stdin, attack until it ends, print the `Tally`."""
    attack = msgspec.json.decode(sys.stdin.buffer.readline(), type=Attack)
    raise_limit(attack.connections + 1024)
    os.nice(NICE)
    gc.freeze()
    print(msgspec.json.encode(asyncio.run(_until_stdin_ends(attack))).decode())


if __name__ == "__main__":
    main()
