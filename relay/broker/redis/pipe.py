"""One connection to Redis: what is called in one tick of the event loop travels together.

Calls that come while a batch is under way gather for the next one. A pipeline
(https://redis.io/docs/latest/develop/using-commands/pipelining/) saves round trips and is no
transaction: each call has its own result.

Nothing is ever sent twice. redis-py retries by default, and one `XADD` whose reply was lost then
became two entries. Here a lost reply is `BrokerUnavailable`: nobody knows whether the call was
done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from relay.broker.redis.scripts import Script
from relay.errors import BrokerUnavailable

Argument = bytes | str | int | float
Reply = None | int | bytes | list["Reply"]
"""What RESP2 can say, errors aside."""

BATCH_MAX = 1000
"""How many calls one pipeline takes: a bound on the bytes that are packed at once."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How many replicas must have what was written, and how long they may take.

    See `WAIT`, https://redis.io/docs/latest/commands/wait/.
    """

    replicas: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class _Call:
    script: Script | None
    args: tuple[Argument, ...]
    """What follows the name of the command; without a script, the command too."""
    future: asyncio.Future[Reply]

    def command(self, *, whole: bool) -> tuple[Argument, ...]:
        if self.script is None:
            return self.args
        if whole:
            return ("EVAL", self.script.source, *self.args)
        return ("EVALSHA", self.script.sha, *self.args)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            failure = BrokerUnavailable(describe(error))
            failure.__cause__ = error
            self.future.set_exception(failure)
            # Whoever asked may be gone; then nobody is left to be told.
            self.future.exception()

    def finish(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)


def describe(error: BaseException) -> str:
    """Say what failed, without the command's arguments: they may hold what people said."""
    return f"Redis: {type(error).__name__}: {str(error)[:200]}"


class Pipe:
    """A connection of its own, and the calls that wait for it.

    `troubled` is called after every failure of the connection and after every error reply, which
    may say that the keys have moved. With a `confirmation`, no call is answered before the
    replicas have confirmed.
    """

    def __init__(
        self,
        client: Redis,
        *,
        troubled: Callable[[], None],
        confirmation: Confirmation | None = None,
    ) -> None:
        self._client = client
        self._troubled = troubled
        self._confirmation = confirmation
        self._queue: list[_Call] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Argument]
    ) -> asyncio.Future[Reply]:
        """Run a script. The future raises `BrokerUnavailable`."""
        return self._enqueue(script, (len(keys), *keys, *args))

    def call(self, *command: Argument) -> asyncio.Future[Reply]:
        """Run a plain command. The future raises `BrokerUnavailable`."""
        return self._enqueue(None, command)

    def tell(self, *command: Argument) -> None:
        """Run a plain command whose outcome nobody waits for."""
        _ = self._enqueue(None, command)

    def _enqueue(self, script: Script | None, args: tuple[Argument, ...]) -> asyncio.Future[Reply]:
        loop = asyncio.get_running_loop()
        call = _Call(script, args, loop.create_future())
        if self._closed:
            call.fail(ConnectionError("the connection is closed"))
            return call.future
        self._queue.append(call)
        if self._worker is None:
            # It starts in the next tick, when all of this one has gathered.
            self._worker = loop.create_task(self._work(), context=Context())
        return call.future

    async def _work(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
                try:
                    await self._send(batch)
                except (RedisError, OSError) as error:
                    self._give_up(batch, error)
                    self._troubled()
                except BaseException as error:
                    # A bug, or the end of the loop: nobody may wait for ever.
                    self._give_up(batch, error)
                    raise
        finally:
            self._worker = None

    def _give_up(self, batch: Sequence[_Call], error: BaseException) -> None:
        # What waits behind the batch would only run into the same timeout.
        waiting, self._queue = self._queue, []
        for call in (*batch, *waiting):
            call.fail(error)

    async def _send(self, batch: Sequence[_Call]) -> None:
        unknown = await self._exchange(batch, whole=False)
        if unknown:
            # The server does not know these scripts, so it has done nothing of them.
            await self._exchange(unknown, whole=True)

    async def _exchange(self, batch: Sequence[_Call], *, whole: bool) -> list[_Call]:
        """Send the calls and hand out the replies; returns those whose script is not known."""
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            pipeline.execute_command(*call.command(whole=whole))
        if self._confirmation is not None:
            milliseconds = round(self._confirmation.timeout_s * 1000)
            pipeline.execute_command("WAIT", self._confirmation.replicas, milliseconds)
        replies = await cast("Awaitable[list[Any]]", pipeline.execute(raise_on_error=False))
        missing = self._missing_replicas(replies)
        unknown: list[_Call] = []
        for call, reply in zip(batch, replies, strict=False):
            if isinstance(reply, NoScriptError) and not whole:
                unknown.append(call)
            elif isinstance(reply, RedisError):
                call.fail(reply)
                self._troubled()
            elif missing is not None:
                call.fail(missing)
            else:
                call.finish(cast("Reply", reply))
        return unknown

    def _missing_replicas(self, replies: list[Any]) -> Exception | None:
        if self._confirmation is None:
            return None
        confirmed = replies.pop()
        if isinstance(confirmed, int) and confirmed >= self._confirmation.replicas:
            return None
        return TimeoutError(f"{confirmed} of {self._confirmation.replicas} replicas confirmed")

    async def close(self) -> None:
        """Let what is under way finish, and close the connection."""
        self._closed = True
        if self._worker is not None:
            await self._worker
        await self._client.aclose()
