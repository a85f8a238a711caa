"""What one WebSocket may say.

Who is above a rate is not read until it is within it again. So nothing is lost, TCP passes it on
to the sender, and the others have the machine meanwhile. Only who floods the relay with what is no
message of a stream is let go: reading that later would serve nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from relay.limits.bucket import Bucket
from relay.limits.notices import Notices
from relay.limits.refusal import Kind, Limit, Refusal, refuse_for

PAUSE_MIN_S: Final = 0.02
"""A shorter pause would be mostly the timer's own inaccuracy, once for each message."""


LOTS: Final = 256
"""What is said is paid for in lots of this part of a bucket, so that most frames cost a sum."""

LOT_MESSAGES_MAX: Final = 64
LOT_BYTES_MAX: Final = 65_536


class Budget:
    """The buckets of one socket: those of its credential and its address, and one of its own."""

    __slots__ = (
        *("_commands", "_lot_messages", "_lot_size", "_messages", "_names", "_notices"),
        *("_said", "_said_size", "_sizes"),
    )

    def __init__(
        self,
        *,
        messages: Sequence[tuple[Limit, Bucket]],
        sizes: Sequence[tuple[Limit, Bucket]],
        commands_per_s: float,
        notices: Notices,
        names: Mapping[str, str | int],
    ) -> None:
        self._messages = tuple(messages)
        self._sizes = tuple(sizes)
        self._lot_messages = _lot(self._messages, LOT_MESSAGES_MAX)
        self._lot_size = _lot(self._sizes, LOT_BYTES_MAX)
        self._said = self._said_size = 0
        self._commands = Bucket(commands_per_s) if commands_per_s else None
        self._notices = notices
        self._names = names

    def charge(self, messages: int, size: int, now: float) -> float:
        """Pay for what was read, once for each read or message: `size` is its bytes.

        Returns how long not to read on, in seconds; mostly 0.
        """
        self._said = messages = self._said + messages
        self._said_size = size = self._said_size + size
        if messages < self._lot_messages and size < self._lot_size:
            return 0.0
        self._said = self._said_size = 0
        wait_s = 0.0
        reached = None
        for limit, bucket in self._messages:
            owed_s = bucket.charge(messages, now)
            if owed_s > wait_s:
                wait_s, reached = owed_s, limit
        for limit, bucket in self._sizes:
            owed_s = bucket.charge(size, now)
            if owed_s > wait_s:
                wait_s, reached = owed_s, limit
        if reached is None:
            return 0.0
        self._notices.slowed(reached, Kind.SOCKET, self._names, now)
        return max(wait_s, PAUSE_MIN_S)

    def command(self, now: float) -> Refusal | None:
        """Pay for what is no message of a stream. A refusal: end the connection with it."""
        if self._commands is None:
            return None
        wait_s = self._commands.take(1.0, now)
        if not wait_s:
            return None
        self._notices.refused(Limit.COMMANDS_PER_CONNECTION, Kind.SOCKET, self._names, now)
        return refuse_for(Limit.COMMANDS_PER_CONNECTION, wait_s)


def _lot(buckets: Sequence[tuple[Limit, Bucket]], most: int) -> int:
    return min((most, *(max(1, int(bucket.size / LOTS)) for _, bucket in buckets)))
