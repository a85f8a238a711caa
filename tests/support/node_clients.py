"""Real JavaScript clients, each in a Node process of its own that prints one JSON object a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.cable import to_json

JS = Path(__file__).parents[1] / "js"
WAIT_S = 30.0

Line = dict[str, Any]


class NodeClient:
    """A running script: `lines` is what it has said, and commands go to it as JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[Line] = []
        self._process = process
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            self.lines.append(json.loads(raw))
            async with self._news:
                self._news.notify_all()

    async def tell(self, **command: object) -> None:
        """Send a command to the script."""
        assert self._process.stdin is not None
        self._process.stdin.write(to_json(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def wait(self, wanted: Callable[[Line], bool], *, after: int = 0) -> Line:
        """Return the first such line from number `after` on."""

        def found() -> Line | None:
            return next((line for line in self.lines[after:] if wanted(line)), None)

        try:
            async with asyncio.timeout(WAIT_S), self._news:
                await self._news.wait_for(lambda: found() is not None)
        except TimeoutError:
            raise AssertionError(f"no such line: {self.lines}") from None
        line = found()
        assert line is not None
        return line

    async def wait_event(self, event: str, *, after: int = 0) -> Line:
        """Return the first line that reports this event."""
        return await self.wait(lambda line: line["event"] == event, after=after)

    def count(self, event: str) -> int:
        """How often this event was reported."""
        return sum(line["event"] == event for line in self.lines)

    async def end(self) -> None:
        """End the script; it is harmless where it has ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader


@asynccontextmanager
async def node_client(script: str, *arguments: str) -> AsyncIterator[NodeClient]:
    """Start a script of tests/js."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(JS / script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    client = NodeClient(process)
    try:
        yield client
    finally:
        await client.end()
