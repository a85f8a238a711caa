"""That somebody may not have more: which limit says so, and when to come back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relay.errors import LimitReached, Overloaded, RateLimited


class Limit(StrEnum):
    """Which limit it was. Most bear the name of their setting."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    CONNECTIONS_PER_KEY = "connections_per_key"
    CONNECTIONS_PER_BOT = "connections_per_bot"
    REQUESTS_PER_ADDRESS = "requests_per_address"
    ASKS_PER_KEY = "asks_per_key"
    STREAMS_PER_KEY = "streams_per_key"
    READERS_PER_STREAM = "readers_per_stream"
    MESSAGES_PER_KEY = "messages_per_key"
    BYTES_PER_KEY = "bytes_per_key"
    MESSAGES_PER_ADDRESS = "messages_per_address"
    BYTES_PER_ADDRESS = "bytes_per_address"
    COMMANDS_PER_CONNECTION = "commands_per_connection"


class Kind(StrEnum):
    """What was to be had."""

    CONNECTION = "connection"
    """A connection that has not said anything yet."""
    SOCKET = "socket"
    """A WebSocket of a bot or a worker, and what is said on it."""
    ASK = "ask"
    """A question of a device or a worker."""
    READ = "read"
    """A stream to read, or a poll of one."""
    OTHER = "other"
    """Any other request: a page, figures, what is not there."""


PLACE_FREE_S: Final = 5
"""When to come back for something that others have: nobody knows when they are done."""

_WHY: Final[Mapping[Limit, str]] = {
    Limit.CONNECTIONS: "the relay has as many connections as it may",
    Limit.CONNECTIONS_PER_ADDRESS: "your address has as many connections as it may",
    Limit.CONNECTIONS_PER_KEY: "this access key has as many connections as it may",
    Limit.CONNECTIONS_PER_BOT: "this bot has as many connections as it may",
    Limit.REQUESTS_PER_ADDRESS: "your address sends requests faster than it may",
    Limit.ASKS_PER_KEY: "this access key asks faster than it may",
    Limit.STREAMS_PER_KEY: "this access key has as many open streams as it may",
    Limit.READERS_PER_STREAM: "this stream has as many readers as it may",
    Limit.MESSAGES_PER_KEY: "this credential sends messages faster than it may",
    Limit.BYTES_PER_KEY: "this credential sends more than it may",
    Limit.MESSAGES_PER_ADDRESS: "your address sends messages faster than it may",
    Limit.BYTES_PER_ADDRESS: "your address sends more than it may",
    Limit.COMMANDS_PER_CONNECTION: "this connection sends commands faster than it may",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer where a limit is reached."""

    limit: Limit
    retry_after_s: int = PLACE_FREE_S
    """Whole seconds, at least 1, as `Retry-After` has them."""

    @property
    def message(self) -> str:
        """What the caller is told."""
        return f"{_WHY[self.limit]}; try again in {self.retry_after_s} s"

    def error(self) -> LimitReached:
        """Return the error that says so: the caller's own limit, or that of all."""
        if self.limit is Limit.CONNECTIONS:
            return Overloaded(self.message, retry_after_s=self.retry_after_s)
        return RateLimited(self.message, limit=self.limit.value, retry_after_s=self.retry_after_s)


def refuse_for(limit: Limit, wait_s: float) -> Refusal:
    """Return the refusal of somebody who was too fast and may come back after `wait_s`."""
    return Refusal(limit, max(1, math.ceil(wait_s)))
