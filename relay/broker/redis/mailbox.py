"""`CommandMailbox` and `Presence` on Redis.

Who listens for a bot stands in a hash, with a fence and a time when it counts as dead. Each node
has a stream for its letters, on a cluster one in each bucket, so that posting is one script: it
looks whether the node still listens for the bot and adds the letter, or does neither. A node that
dies is offline when its time is over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import cast

import structlog

from relay.broker.base import Letter
from relay.broker.redis.hints import REPLACED, Hints
from relay.broker.redis.keys import BUCKETS, Keys, bucket_of_bot, decode, encode
from relay.broker.redis.pipe import Argument, Reply
from relay.broker.redis.reader import START, Record
from relay.broker.redis.readers import Readers
from relay.broker.redis.scripts import Scripts
from relay.broker.redis.shards import Shards
from relay.broker.redis.tasks import end
from relay.errors import BrokerUnavailable

LETTERS_MAX = 1000
"""How many letters may wait in one such stream: its node reads them at once, or it is dead."""

MAIL_TTL_S = 60.0
"""How long letters wait for a node that reads none."""

REFRESHES_PER_TTL = 3
REFRESH_RETRY_S = 0.5

POST_TRIES = 3
"""How often a letter follows a bot that changes its node just now."""


@dataclass(frozen=True, slots=True)
class _Listener:
    fence: int
    deliver: Callable[[Letter], None]
    replaced: Callable[[], None]


class RedisMailbox:
    """The mailbox of one node. Made by `relay.broker.redis.open_redis`.

    A bot counts as online for `ttl_s` after the last sign of life of its node.
    """

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        scripts: Scripts,
        readers: Readers,
        hints: Hints,
        *,
        node_id: str,
        ttl_s: float,
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._scripts = scripts
        self._readers = readers
        self._hints = hints
        hints.on(REPLACED, self._replaced)
        self._node_id = node_id
        self._ttl_s = ttl_s
        self._listeners: dict[int, _Listener] = {}
        self._beginning: defaultdict[int, int] = defaultdict(int)
        self._early: list[tuple[int, Letter]] = []
        self._open: set[int] = set()
        self._boxes: set[int] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._logger = structlog.get_logger("relay.broker.redis")

    # --- listening ------------------------------------------------------------------------

    async def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> int:
        """See `CommandMailbox.listen`. Raises `BrokerUnavailable`."""
        bucket = bucket_of_bot(bot_id)
        self._open_box(bucket)
        keys = (self._keys.bots(bucket), self._keys.fences(bucket))
        args = (bot_id, self._node_id, round(self._ttl_s * 1000))
        # A letter may be here before the answer is; then it waits for it.
        self._beginning[bot_id] += 1
        try:
            reply = await self._shards.of(bucket).calls.run(self._scripts.listen, keys, args)
            fence, before = cast("tuple[int, bytes | None]", reply)
            if before is not None:
                self._hints.give(decode(before), REPLACED, f"{bot_id} {fence}")
            listener = self._listeners.get(bot_id)
            if listener is None or fence > listener.fence:
                self._listeners[bot_id] = _Listener(fence, deliver, replaced)
        finally:
            self._beginning[bot_id] -= 1
            if not self._beginning[bot_id]:
                del self._beginning[bot_id]
            self._deliver_early()
        return fence

    async def unlisten(self, bot_id: int, fence: int) -> None:
        """See `CommandMailbox.unlisten`. Raises `BrokerUnavailable`; then its time runs out."""
        listener = self._listeners.get(bot_id)
        if listener is not None and listener.fence == fence:
            del self._listeners[bot_id]
        bucket = bucket_of_bot(bot_id)
        args = (bot_id, self._node_id, fence)
        keys = (self._keys.bots(bucket),)
        await self._shards.of(bucket).calls.run(self._scripts.unlisten, keys, args)

    def _replaced(self, about: str) -> None:
        bot_id, fence = map(int, about.split())
        listener = self._listeners.get(bot_id)
        if listener is not None and listener.fence < fence:
            del self._listeners[bot_id]
            listener.replaced()

    def _open_box(self, bucket: int) -> None:
        self._open.add(bucket)
        box = self._readers.group(bucket)
        if box not in self._boxes:
            self._boxes.add(box)
            self._readers.follow(box, self._keys.mail(box), START, partial(self._take, box))
        if self._refreshing is None:
            loop = asyncio.get_running_loop()
            self._refreshing = loop.create_task(self._refresh(), context=Context())

    def _take(self, box: int, records: Sequence[Record]) -> None:
        for record in records:
            fields = record.fields
            letter = Letter(int(fields[b"bot"]), decode(fields[b"stream"]), fields[b"payload"])
            self._deliver(int(fields[b"fence"]), letter)
        if records:
            # All up to the last one: where this is lost, the next one makes up for it.
            milliseconds, _, number = records[-1].id.decode().partition("-")
            first_to_keep = f"{milliseconds}-{int(number) + 1}"
            calls = self._shards.of(box).calls
            calls.tell("XTRIM", self._keys.mail(box), "MINID", first_to_keep)

    def _deliver(self, fence: int, letter: Letter) -> None:
        listener = self._listeners.get(letter.bot_id)
        if listener is not None and listener.fence >= fence:
            listener.deliver(letter)
        elif letter.bot_id in self._beginning:
            self._early.append((fence, letter))

    def _deliver_early(self) -> None:
        early, self._early = self._early, []
        for fence, letter in early:
            self._deliver(fence, letter)

    # --- posting --------------------------------------------------------------------------

    async def post(self, letter: Letter) -> bool:
        """See `CommandMailbox.post`. Raises `BrokerUnavailable`: it may have been posted."""
        bucket = bucket_of_bot(letter.bot_id)
        for _ in range(POST_TRIES):
            found = await self._find(bucket, letter.bot_id)
            if not found:
                return False
            (_, fence, node), *_ = found
            mail = self._keys.mail(self._readers.group(bucket), decode(node))
            keys = (self._keys.bots(bucket), mail)
            args = (letter.bot_id, fence, node, LETTERS_MAX, round(MAIL_TTL_S * 1000))
            fields: tuple[Argument, ...] = (
                *("bot", letter.bot_id, "fence", fence),
                *("stream", encode(letter.stream_id), "payload", letter.payload),
            )
            calls = self._shards.of(bucket).calls
            (status,) = cast(
                "list[bytes]", await calls.run(self._scripts.post, keys, (*args, *fields))
            )
            if status == b"ok":
                return True
            if status == b"full":
                raise BrokerUnavailable("Redis: the mailbox of the bot's node is full")
        return False

    async def _find(self, bucket: int, bot_id: int | None) -> list[list[bytes]]:
        args = () if bot_id is None else (bot_id,)
        keys = (self._keys.bots(bucket),)
        reply = await self._shards.of(bucket).calls.run(self._scripts.listeners, keys, args)
        return cast("list[list[bytes]]", reply)

    # --- presence -------------------------------------------------------------------------

    async def is_online(self, bot_id: int) -> bool:
        """See `Presence.is_online`. Raises `BrokerUnavailable`."""
        return bool(await self._find(bucket_of_bot(bot_id), bot_id))

    async def online(self) -> frozenset[int]:
        """See `Presence.online`. Raises `BrokerUnavailable`."""
        found = await asyncio.gather(*(self._find(bucket, None) for bucket in range(BUCKETS)))
        return frozenset(int(bot_id) for bots in found for bot_id, _, _ in bots)

    async def _refresh(self) -> None:
        """Say again and again that this node listens."""
        pause_s = self._ttl_s / REFRESHES_PER_TTL
        while True:
            await asyncio.sleep(pause_s)
            try:
                await asyncio.gather(*map(self._refresh_bucket, tuple(self._open)))
            except BrokerUnavailable as error:
                self._logger.warning("redis_presence_not_refreshed", reason=str(error))
                pause_s = min(REFRESH_RETRY_S, self._ttl_s / REFRESHES_PER_TTL)
            else:
                pause_s = self._ttl_s / REFRESHES_PER_TTL

    async def _refresh_bucket(self, bucket: int) -> None:
        asked = {
            bot_id: listener
            for bot_id, listener in self._listeners.items()
            if bucket_of_bot(bot_id) == bucket
        }
        pairs: list[Argument] = []
        for bot_id, listener in asked.items():
            pairs += (bot_id, listener.fence)
        calls = self._shards.of(bucket).calls
        keys = (self._keys.bots(bucket), self._keys.fences(bucket))
        args = (self._node_id, round(self._ttl_s * 1000), *pairs)
        mail = self._keys.mail(self._readers.group(bucket))
        kept = calls.call("PEXPIRE", mail, round(MAIL_TTL_S * 1000))
        lost: Reply = await calls.run(self._scripts.refresh, keys, args)
        await kept
        for name in cast("list[bytes]", lost):
            bot_id = int(name)
            # It has come to another node meanwhile, and the hint was lost.
            self._replaced(f"{bot_id} {asked[bot_id].fence + 1}")

    async def close(self) -> None:
        """Listen for nobody any more."""
        await end(self._refreshing)
        leaving = [self.unlisten(bot_id, one.fence) for bot_id, one in self._listeners.items()]
        await asyncio.gather(*leaving, return_exceptions=True)
