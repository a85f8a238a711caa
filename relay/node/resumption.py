"""Opens streams again that this relay lost with its memory.

The bot comes with the voucher of its command and sends everything once more; the device
comes with a position of the old log, is told that it starts over, and tells repeated text
from new by the sequences. Whoever of the two is first waits a little for the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.broker.base import LogSnapshot, StreamLog, StreamMeta, settle
from relay.errors import StreamExists
from relay.node.stream import NodeStream
from relay.node.vouchers import Vouchers

WAITING_MAX = 1_000
"""How many streams may be waited for at once."""


class Resumption:
    """What a restarted node knows of the streams that it does not know.

    `adopt(snapshot)` makes a stream of a new log. Devices wait until `until`, in seconds of
    the node's clock: so long after the start a bot may take to come back.
    """

    def __init__(
        self,
        *,
        log: StreamLog,
        vouchers: Vouchers,
        until: float,
    ) -> None:
        self._log = log
        self._vouchers = vouchers
        self._until = until
        self._awaited: dict[str, asyncio.Event] = {}

    def voucher(self, meta: StreamMeta) -> str:
        """Return what the bot needs to have this stream opened again."""
        return self._vouchers.sign(meta)

    async def reopen(
        self,
        bot_id: int,
        stream_id: str,
        voucher: str,
        now: float,
        adopt: Callable[[LogSnapshot], NodeStream],
    ) -> NodeStream | None:
        """Open the stream that the voucher is for; None where it is not for this bot's stream."""
        meta = self._vouchers.read(voucher, now)
        if meta is None or (meta.bot_id, meta.stream_id) != (bot_id, stream_id):
            return None
        try:
            snapshot = await settle(self._log.create(meta))
        except StreamExists:
            snapshot = await settle(self._log.claim(stream_id))
        stream = adopt(snapshot)
        stream.notice_end(now)
        event = self._awaited.pop(stream_id, None)
        if event is not None:
            event.set()
        return stream

    async def wait_for(self, stream_id: str, now: float) -> None:
        """Wait until the stream is opened again, or its bot has had its time. Raises nothing."""
        left = self._until - now
        if left <= 0 or (len(self._awaited) >= WAITING_MAX and stream_id not in self._awaited):
            return
        event = self._awaited.setdefault(stream_id, asyncio.Event())
        try:
            async with asyncio.timeout(left):
                await event.wait()
        except TimeoutError:
            self._awaited.pop(stream_id, None)
