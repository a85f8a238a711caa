"""Builds the load generator with the machine's C compiler, runs it, and reads what it measured."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import msgspec

from relay.errors import RelayError

SOURCE: Final = Path(__file__).with_name("generator.c")

CACHE: Final = Path(__file__).parents[2] / ".bench"
"""Git ignores it."""

SPARE_S: Final = 180.0
"""How much longer than its load a run may take, to open and to end everything."""

Peer = Literal["relay", "cable", "nchan"]


class GeneratorFailed(RelayError):
    """The load generator could not be built, or did not come to an end."""


class GeneratorMissing(GeneratorFailed):
    """There is no C compiler."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes."""

    peer: Peer
    port: int
    pids: tuple[int, ...]
    """The server's processes: their CPU and memory are told with the rest."""
    bots: tuple[tuple[str, str], ...] = ()
    """Token and user of each bot; a relay's bots are numbered from 1, in this order."""
    key: str = ""
    reader_port: int = 0
    """0: the same."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is done to a server: see the head of generator.c."""

    streams: int = 1
    readers: int = 1
    """For each stream."""
    per_socket: int = 1
    """Streams on one bot's WebSocket."""
    interval_us: int = 35_000
    """Between two chunks of a stream; 0: as fast as they are acknowledged."""
    window: int = 16
    """With `interval_us` 0: chunks of a stream that are not acknowledged."""
    size: int = 32
    """Bytes of a chunk's content."""
    protocol: int = 1
    warmup_ms: int = 1_000
    duration_ms: int = 4_000
    drain_ms: int = 3_000
    settle_ms: int = 1_000
    """With `idle`: how long before memory is read."""
    core: int = -1
    """The one to run on; -1: any."""
    idle: bool = False
    """Open everything and say nothing."""

    @property
    def bots(self) -> int:
        """How many bots it takes."""
        return -(-self.streams // self.per_socket)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of `n` chunks, in microseconds."""

    n: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run measured; rates, latencies and CPU are those behind the warm-up."""

    sent: int
    acked: int
    delivered: int
    lost: int
    repeated: int
    disordered: int
    corrupt: int
    foreign: int
    unknown_acks: int
    refused: int
    errors: int
    seconds: float
    sent_per_s: float
    delivered_per_s: float
    latency_us: Latencies
    """From when a chunk was due until a reader has it."""
    ack_us: Latencies
    lag_us: Latencies
    """How far the generator itself was behind its plan."""
    server_cpu_s: float
    own_cpu_s: float
    pss_kb_before: int
    pss_kb_streams: int
    """With all bots, and one reader of each stream."""
    pss_kb_readers: int
    """With all readers."""
    pss_kb_after: int
    first_error: str

    @property
    def is_whole(self) -> bool:
        """Every reader got every chunk once, in order, as it was said."""
        return not any(
            (
                self.lost,
                self.repeated,
                self.disordered,
                self.corrupt,
                self.foreign,
                self.unknown_acks,
                self.refused,
                self.errors,
            )
        )

    @property
    def server_share(self) -> float:
        """Cores that the server took."""
        return self.server_cpu_s / self.seconds

    @property
    def chunk_us(self) -> float:
        """Microseconds of the server's CPU for each chunk that a reader got."""
        return self.server_cpu_s / max(1.0, self.delivered_per_s * self.seconds) * 1e6

    def faults(self) -> str:
        """Return what went wrong in words; empty where nothing did."""
        names = ("lost", "repeated", "disordered", "corrupt", "foreign", "refused", "unknown_acks")
        found = [f"{name} {getattr(self, name)}" for name in names if getattr(self, name)]
        return ", ".join([*found, *([self.first_error] if self.first_error else [])])


async def build(cache: Path = CACHE) -> Path:
    """Return the program, built where this source was not built yet.

    Raises `GeneratorMissing` where there is no compiler, `GeneratorFailed` where it refuses.
    """
    program = cache / f"generator-{sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise GeneratorMissing(
            "the load generator is built with a C compiler, and there is none: install gcc and "
            "the C library's headers (Debian and Ubuntu: apt-get install gcc libc6-dev)"
        )
    cache.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    # Two processes may build at once: each has its own file, and the last one stays.
    fresh = cache / f"{program.name}.{os.getpid()}"
    process = await asyncio.create_subprocess_exec(
        compiler, "-O2", "-o", str(fresh), str(SOURCE), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise GeneratorFailed(f"{compiler} refused {SOURCE.name}: {said.decode()[-2000:]}")
    fresh.replace(program)
    return program


async def run(target: Target, load: Load) -> Measured:
    """Do this to that server, and return what was measured; raises `GeneratorFailed`."""
    program = await build()
    with TemporaryDirectory(prefix="relay-bench-") as folder:
        tokens = Path(folder, "tokens")
        lines = "".join(f"{token} {user}\n" for token, user in target.bots)
        tokens.write_text(lines)  # noqa: ASYNC240 - nothing else runs yet
        process = await asyncio.create_subprocess_exec(
            str(program),
            *_words(target, load, tokens),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        at_most = (load.warmup_ms + load.duration_ms + load.drain_ms) / 1000 + SPARE_S
        try:
            async with asyncio.timeout(at_most):
                out, said = await process.communicate()
        except TimeoutError as error:
            raise GeneratorFailed(f"it did not end within {at_most:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if not out:
        raise GeneratorFailed(said.decode().strip() or f"it ended with {process.returncode}")
    return msgspec.json.decode(out, type=Measured)


def _words(target: Target, load: Load, tokens: Path) -> Sequence[str]:
    words = ["--peer", target.peer, "--port", str(target.port), "--tokens", str(tokens)]
    words += ["--pids", ",".join(str(pid) for pid in target.pids), "--key", target.key]
    if target.reader_port:
        words += ["--reader-port", str(target.reader_port)]
    for field in fields(load):
        value = getattr(load, field.name)
        if field.name != "idle":
            words += [f"--{field.name.replace('_', '-')}", str(value)]
        elif value:
            words.append("--idle")
    return words
