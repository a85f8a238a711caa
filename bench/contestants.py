"""The servers that take turns under the same load, each on one core of its own.

The relay takes part as it is run, compiled, without its fast path, and with a Redis; `naive` is the
relay of an afternoon. The others are no part of this project: they take part where a folder with
them is named, and where what they need is installed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.generator.program import Target
from bench.sizes import redis_server
from relay.demo.relay_process import RelayProcess, relay_process
from relay.errors import RelayError

ROOT: Final = Path(__file__).parents[1]

SETTINGS: Final[Mapping[str, str]] = {
    "RELAY_LOG_LEVEL": "warning",
    "RELAY_DRAIN_SECONDS": "0",
    "RELAY_CONNECTIONS_PER_ADDRESS": "16384",
    "RELAY_CONNECTIONS_PER_KEY": "16384",
    "RELAY_REQUESTS_PER_ADDRESS": "20000",
    "RELAY_ASKS_PER_KEY": "20000",
    "RELAY_MESSAGES_PER_KEY": "1000000",
    "RELAY_BYTES_PER_KEY": "1000000000",
    "RELAY_STREAM_BYTES_MAX": "1000000000",
}
"""Every limit is on and counted; all load comes from one address, so some are wider."""

OURS: Final = ("relay", "relay-compiled", "relay-asgi", "relay-redis", "two-nodes")
YARDSTICKS: Final = ("naive", "py-naive", "node-naive", "nchan", "ceiling")

TITLES: Final[Mapping[str, str]] = {
    "relay": "relay",
    "relay-compiled": "relay, compiled",
    "relay-asgi": "relay, `RELAY_FAST_PATH=off`",
    "relay-redis": "relay, Redis broker",
    "two-nodes": "two relays, Redis between them",
    "sdk": "Python SDK",
    "naive": "naive Python (bench/naive.py)",
    "py-naive": "naive Python",
    "node-naive": "Node by hand",
    "nchan": "Nchan (C)",
    "ceiling": "C ceiling",
}

COMPILED: Final = ROOT / "build/compiled"
"""Where `make compile` lays out a relay whose busiest modules are C."""

NCHAN_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NCHAN_PORT: Final = 19103
"""As its configuration has it."""

START_S: Final = 20.0


class ContestantMissing(RelayError):
    """What a contestant needs is not there; the message says what."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server has, and which the load."""

    server: int
    load: int


@cache
def take_cores() -> Cores:
    """Return the first and the last core of this process, and move it to the first, once.

    Every server is a child of this process and inherits its core.
    """
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine[0]})
    return Cores(mine[0], mine[-1])


def lacks(name: str, yardsticks: Path | None) -> str:
    """Return what this contestant lacks, in words; empty where it can take part."""
    if name in {"relay", "relay-asgi", "naive", "sdk"}:
        return ""
    if name == "relay-compiled":
        return "" if any(COMPILED.glob("relay__mypyc.*")) else "it is not compiled (make compile)"
    if name in {"relay-redis", "two-nodes"}:
        return "" if shutil.which("redis-server") else "redis-server is not installed"
    if yardsticks is None:
        return "no folder of yardsticks (--yardsticks FOLDER)"
    needs = {
        "ceiling": ("ceiling.c", "cc"),
        "node-naive": ("node-naive/server.mjs", "node"),
        "py-naive": ("py-naive/app.py", sys.executable),
        "nchan": ("nchan/nginx.conf", _nginx()),
    }
    path, program = needs[name]
    if not (yardsticks / path).exists():
        return f"{path} is not in the folder of yardsticks"
    if shutil.which(program) is None:
        return f"{program} is not installed"
    if name == "nchan" and not NCHAN_MODULE.exists():
        return "libnginx-mod-nchan is not installed"
    if name == "node-naive" and not (ROOT / "tests/js/node_modules/ws").exists():
        return "the Node packages are not installed (scripts/test-needs)"
    return ""


def _nginx() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"


@asynccontextmanager
async def contestant(
    name: str, bots: int, yardsticks: Path | None, cores: Cores
) -> AsyncIterator[Target]:
    """Start a server that so many bots may connect to; raises `ContestantMissing`."""
    if lacking := lacks(name, yardsticks):
        raise ContestantMissing(f"{name}: {lacking}")
    if name in {"relay", "relay-asgi", "relay-compiled"}:
        fast = {"RELAY_FAST_PATH": "off"} if name == "relay-asgi" else {}
        tree = COMPILED if name == "relay-compiled" else None
        async with relay_process({**SETTINGS, **fast}, bots=bots, tree=tree) as relay:
            yield target_of(relay)
    elif name in {"relay-redis", "two-nodes"}:
        async with _over_redis(bots, cores, is_two=name == "two-nodes") as target:
            yield target
    elif name == "naive":
        async with _process([sys.executable, "-m", "bench.naive"], told=True) as (port, pid):
            yield Target("cable", port, (pid,))
    else:
        assert yardsticks is not None
        folder = yardsticks.resolve()  # noqa: ASYNC240 - nothing else runs yet
        async with _yardstick(name, folder) as target:
            yield target


@asynccontextmanager
async def _over_redis(bots: int, cores: Cores, *, is_two: bool) -> AsyncIterator[Target]:
    async with redis_server() as redis, AsyncExitStack() as stack:
        assert redis is not None
        # It is not on the relay's core: what Redis takes is told apart.
        _pin(int(await redis.info("process_id")), cores.load)
        settings = {**SETTINGS, "RELAY_BROKER_URL": redis.url}
        here = await stack.enter_async_context(relay_process(settings, bots=bots))
        if not is_two:
            yield target_of(here)
            return
        # Each has a database of its own, and in both the bots have the same numbers.
        there = await stack.enter_async_context(relay_process(settings, bots=bots))
        pids = (here.pid, there.pid)
        yield replace(target_of(here), pids=pids, key=there.access_key, reader_port=port_of(there))


def target_of(relay: RelayProcess) -> Target:
    """Return what the load generator must know of a relay."""
    bots = tuple(zip(relay.sdk_tokens, relay.user_ids, strict=True))
    return Target("relay", port_of(relay), (relay.pid,), bots, relay.access_key)


def port_of(relay: RelayProcess) -> int:
    """Return where it listens."""
    return int(relay.base.rpartition(":")[2])


@asynccontextmanager
async def _yardstick(name: str, folder: Path) -> AsyncIterator[Target]:
    port = str(_free_port())
    with TemporaryDirectory(prefix="relay-bench-") as scratch:
        if name == "ceiling":
            program = str(Path(scratch, "ceiling"))
            await _call(["cc", "-O2", "-o", program, str(folder / "ceiling.c")])
            command = [program, port]
        elif name == "node-naive":
            command = ["node", str(folder / "node-naive/server.mjs"), port]
        elif name == "py-naive":
            command = [sys.executable, "-m", "uvicorn", "app:app", "--port", port]
            command += ["--app-dir", str(folder / "py-naive"), "--log-level", "warning"]
        else:
            port = str(NCHAN_PORT)
            written = (folder / "nchan/nginx.conf").read_text().replace("@RUN@", scratch)
            Path(scratch, "nginx.conf").write_text(written)  # noqa: ASYNC240 - as above
            command = [_nginx(), "-p", scratch, "-c", str(Path(scratch, "nginx.conf"))]
        # The packages of the tests: a yardstick brings none.
        environment = {"PEER_NODE": str(ROOT / "tests/js"), "PYTHONDONTWRITEBYTECODE": "1"}
        async with _process(command, port=int(port), environment=environment) as (at, pid):
            pids = (pid, *_children(pid))
            yield Target("nchan" if name == "nchan" else "cable", at, pids)


@asynccontextmanager
async def _process(
    command: Sequence[str],
    *,
    port: int = 0,
    told: bool = False,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[int, int]]:
    """Run a server until the end; `told`: it prints its address, which ends with its port."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE if told else asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_S):
            if process.stdout is not None:
                port = int((await process.stdout.readline()).decode().rpartition(":")[2])
            while not await _answers(port):  # noqa: ASYNC110 - it tells in no other way
                await asyncio.sleep(0.05)
        yield port, process.pid
    except TimeoutError as error:
        raise ContestantMissing(f"{command[0]} did not listen within {START_S:g} s") from error
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _call(command: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait() != 0:
        raise ContestantMissing(f"{command[0]} failed")


def _children(pid: int) -> tuple[int, ...]:
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
