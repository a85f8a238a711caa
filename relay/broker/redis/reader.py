"""One blocking `XREAD` over many Redis Streams (https://redis.io/docs/latest/commands/xread/).

A reader always asks for what lies behind the last id that it has seen, never for `$`: whatever
was added while it was away, it gets in its next reply. So it may lose its connection, or Redis
may restart, and nothing is lost. Pub/sub has no such place to go on from.

One of the streams is its node's bell (see `readers`). An entry there also interrupts it, so that it
reads other streams too; so an interruption cannot come too early, as a `CLIENT UNBLOCK` may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from relay.broker.redis.pipe import describe
from relay.broker.redis.tasks import end

BLOCK_S = 5.0
"""How long one `XREAD` waits."""

REPLY_TIMEOUT_S = BLOCK_S + 2.5
"""A client's timeout below the time that the server may block would be an error each time."""

BELL_LENGTH = 1024
"""How many entries a bell keeps at least. A reply of so many may lack some."""

ENTRIES_MAX = BELL_LENGTH
"""How many entries of each stream one reply brings."""

PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 1.0
"""How long after a failure it tries again: the first time, doubled up to the last."""

LINGER_S = 0.001
"""How long it waits before it asks again, so that a busy node's entries come in batches."""

START = b"0-0"


@dataclass(frozen=True, slots=True)
class Record:
    """An entry of a Redis Stream."""

    id: bytes
    fields: dict[bytes, bytes]


Deliver = Callable[[Sequence[Record]], None]
"""Takes the records behind those before, in order.

None at all: the connection was lost, and what happened meanwhile (the key may be gone), no record
may say; or a bell had more than it keeps.
"""


@dataclass(slots=True)
class _Followed:
    seen: bytes
    deliver: Deliver


class Reader:
    """Reads all streams that are followed, over one connection.

    `connect(connected)` makes the client, which calls `connected()` for each new connection,
    `rung()` takes what is added to the stream `bell`, `wake()` adds an entry to it that says
    nothing, and `troubled()` is told of every failure. All keys must be of one slot, where there
    are slots.
    """

    def __init__(
        self,
        *,
        bell: bytes,
        rung: Deliver,
        connect: Callable[[Callable[[], None]], Redis],
        wake: Callable[[], None],
        troubled: Callable[[], None],
    ) -> None:
        self._bell = _Followed(START, rung)
        self._followed = {bell: self._bell}
        self._connect = connect
        self._wake = wake
        self._troubled = troubled
        self._connections = 0
        self._blocked = False
        self._logger = structlog.get_logger("relay.broker.redis")
        self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def follow(self, key: bytes, after: bytes, deliver: Deliver) -> Callable[[], None]:
        """Deliver what is added to the stream behind the id `after`; returns what stops it.

        A key is followed once at a time.
        """
        mine = self._followed[key] = _Followed(after, deliver)
        if self._blocked:
            self._blocked = False  # once is enough
            self._wake()

        def stop() -> None:
            if self._followed.get(key) is mine:
                del self._followed[key]

        return stop

    async def _run(self) -> None:
        pause_s = PAUSE_FIRST_S
        while True:
            self._connections = 0
            client = self._connect(self._connected)
            try:
                while True:
                    await self._read(client)
                    pause_s = PAUSE_FIRST_S
            except (RedisError, OSError) as error:
                self._logger.warning("redis_reader_interrupted", reason=describe(error))
                self._rewind()
            except Exception:
                # A bug in one that is delivered to must not silence all the others for ever.
                self._logger.exception("redis_reader_failed")
            finally:
                self._blocked = False
                with suppress(RedisError, OSError):
                    await client.aclose()
            self._troubled()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            self._interrupted()

    def _connected(self) -> None:
        self._connections += 1

    def _interrupted(self) -> None:
        for followed in tuple(self._followed.values()):
            followed.deliver(())

    def _rewind(self) -> None:
        """Hear the bell again from its beginning.

        Another server may go on with it now, and by its clock what it adds may be older.
        """
        self._bell.seen = START

    async def _read(self, client: Redis) -> None:
        """Take one reply."""
        asked = {key: followed.seen for key, followed in self._followed.items()}
        command = ("XREAD", "COUNT", ENTRIES_MAX, "BLOCK", round(BLOCK_S * 1000), "STREAMS")
        self._blocked = True
        call = client.execute_command(*command, *asked, *asked.values())  # type: ignore[no-untyped-call]
        # redis-py gives [[key, [(id, fields), ...]], ...], and [] where the time was over.
        reply = await cast("Awaitable[list[tuple[bytes, list[tuple[bytes, Any]]]]]", call)
        self._blocked = False
        for key, entries in reply:
            self._hand_over(key, asked[key], entries)
        if self._connections > 1:
            # The client has replaced a broken connection by itself.
            self._connections = 1
            self._rewind()
            self._interrupted()
        await asyncio.sleep(LINGER_S)

    def _hand_over(
        self, key: bytes, asked: bytes, entries: list[tuple[bytes, dict[bytes, bytes]]]
    ) -> None:
        followed = self._followed.get(key)
        if followed is None or followed.seen != asked:
            # It was stopped meanwhile, and perhaps followed anew from another place.
            return
        followed.seen = entries[-1][0]
        if followed is self._bell and len(entries) >= BELL_LENGTH:
            followed.deliver(())
        else:
            followed.deliver([Record(record_id, fields) for record_id, fields in entries])

    async def close(self) -> None:
        """Stop reading. Nobody is told anything more."""
        await end(self._task)
