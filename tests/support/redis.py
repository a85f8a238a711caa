"""Real Redis servers of the tests' own: on free ports of 127.0.0.1, gone at the end.

    from tests.support.redis import redis_cluster, redis_server

`redis_server` and `redis_cluster` run once per session; each test takes key names of its own
(`new_prefix`). A test that stops or kills its server starts one with `RedisServer`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import pytest

from relay.broker.base import Broker
from relay.broker.redis import RedisOptions, open_redis
from tests.support.ports import free_port
from tests.tools import find_program

START_TIMEOUT_S = 20
PRIMARIES = 3

_prefixes = count(1)


def new_prefix() -> str:
    """Key names that no other test has."""
    return f"test-{os.getpid()}-{next(_prefixes)}"


class RedisServer:
    """A server with its data in `folder`: every write is on the disk before it is answered."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with the data that it left; returns once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = find_program("redis-server")
        assert path is not None, "mark the test with needs('redis-server')"
        log = self.folder / "log"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        options += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [path, *options, *self._options], stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return self.command("PING") == "+PONG"
        except OSError:
            return False

    def command(self, *words: str) -> str:
        """Run one command; returns the first line of the reply, or a bulk string."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            parts = [f"*{len(words)}\r\n", *(f"${len(w)}\r\n{w}\r\n" for w in words)]
            connection.sendall("".join(parts).encode())
            with connection.makefile("rb") as reply:
                line: str = reply.readline().decode().rstrip("\r\n")
                if line.startswith("$") and line != "$-1":
                    return reply.read(int(line[1:])).decode()
                return line

    def calls(self, command: str) -> int:
        """How often a command was called since the start or the last CONFIG RESETSTAT."""
        for line in self.command("INFO", "commandstats").splitlines():
            if line.startswith(f"cmdstat_{command.lower()}:"):
                return int(line.partition("calls=")[2].partition(",")[0])
        return 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the process for the length of the block; its sockets stay open."""
        assert self._process is not None
        try:
            self._process.send_signal(signal.SIGSTOP)
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server for the length of the block."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for the whole session."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for one test that stops it, kills it or counts its commands."""
    with running_redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Three primaries that share the slots."""
    folder = tmp_path_factory.mktemp("redis-cluster")
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    nodes = [RedisServer(folder / str(number), *options) for number in range(PRIMARIES)]
    try:
        for number, node in enumerate(nodes):
            node.start()
            first, last = 16_384 * number // PRIMARIES, 16_384 * (number + 1) // PRIMARIES - 1
            assert node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == "+OK"
        for node in nodes[1:]:
            assert nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port)) == "+OK"
        deadline = time.monotonic() + START_TIMEOUT_S
        for node in nodes:
            while not _is_whole(node.command("CLUSTER", "INFO")):
                assert time.monotonic() < deadline, node.command("CLUSTER", "INFO")
                time.sleep(0.05)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def _is_whole(info: str) -> bool:
    return {"cluster_state:ok", "cluster_slots_ok:16384"} <= set(info.split())


def options(prefix: str | None = None) -> RedisOptions:
    """The defaults, with key names of the test's own; two nodes share them by one prefix."""
    return RedisOptions(prefix=prefix or new_prefix())


@asynccontextmanager
async def redis_ports(url: str) -> AsyncIterator[Broker]:
    """The same as the contract suite wants it."""
    async with open_redis(url, options()) as broker:
        yield broker.ports
