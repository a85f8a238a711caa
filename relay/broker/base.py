"""What the relay needs from a broker: a log per stream, a mailbox per bot, presence.

Three small ports. Their docstrings are the contract; `tests/contract/` runs the same
suite on every implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from relay.protocol.events import Entry, HeldChunk

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StreamMeta:
    """What must outlive an owner: everything a takeover needs to know about the request."""

    stream_id: str
    bot_id: int | None
    access_key_id: int
    conversation_id: str
    agent_id: str
    user_id: str
    lang: str
    trace_id: str
    opened_at: float


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """A whole log as an owner needs it to rebuild itself."""

    meta: StreamMeta
    epoch: str
    fence: int
    entries: tuple[Entry, ...]
    held: tuple[HeldChunk, ...]


class StreamLog(Protocol):
    """An append-only log per stream, with one writer and any number of readers.

    *Appending is conditional.* An append names the fence it was granted and the offset it
    expects to write. Both must match, and then all of `entries` and `held` are stored or
    none. Without the fence, an owner that was paused through a takeover would wake up and
    interleave its chunks with its successor's. Without the expected offset, a retried
    append whose reply was lost would be stored twice.

    *Reading is by position.* A read returns the entries after an offset, in order and
    without holes, live and replayed alike. There is no "subscribe to what comes next":
    between a snapshot and a later subscription lies a hole, and the chunk that falls into
    it is gone.

    *Waking is a hint.* `watch` calls back after something was appended; it may call late,
    twice or for nothing, and a reader always goes by what it reads.
    """

    @property
    def durability(self) -> str:
        """What an ACK survives: `"memory"`, `"redis"` or `"redis+wait"`. Told to the bot."""
        ...

    def create(self, meta: StreamMeta) -> Awaitable[LogSnapshot] | LogSnapshot:
        """Make an empty log, granted to the caller (fence 1). Its epoch is new and unique.

        Raises `StreamExists` where the stream id is taken.
        """
        ...

    def claim(self, stream_id: str) -> Awaitable[LogSnapshot] | LogSnapshot:
        """Take over as the owner: raise the fence by one and return all that is stored.

        From then on every append with an older fence raises `Fenced`.
        Raises `UnknownStream` where there is no such log (any more).
        """
        ...

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
    ) -> Awaitable[None] | None:
        """Store `entries` from `offset` on, and `held` beside the log, all or none.

        Returns None where the write is already done (the memory broker), else something to
        await. A chunk entry takes its held copy with it. Raises `Fenced`, `OffsetMismatch`,
        `UnknownStream`, or `BrokerUnavailable` where nobody knows whether it was written.
        """
        ...

    def read(
        self, stream_id: str, after: int, limit: int
    ) -> Awaitable[Sequence[Entry]] | Sequence[Entry]:
        """Return at most `limit` entries with an offset greater than `after`.

        Empty where there are none yet. Raises `UnknownStream`.
        """
        ...

    def describe(
        self, stream_id: str
    ) -> Awaitable[tuple[StreamMeta, str]] | tuple[StreamMeta, str]:
        """Return the stream's meta data and its epoch. Raises `UnknownStream`."""
        ...

    def watch(self, stream_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every append to the stream; returns the function that stops it."""
        ...

    def drop(self, stream_id: str) -> Awaitable[None] | None:
        """Forget the log. Readers that are still there see `UnknownStream`."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """Something for the node that holds a bot's connection: a command or a cancellation."""

    bot_id: int
    stream_id: str
    payload: bytes
    """The message for the bot as JSON."""


class CommandMailbox(Protocol):
    """Carries commands to whichever node holds the bot's connection.

    A letter is delivered at most once and only to the newest listener of the bot: a second
    SDK process with the same token would otherwise answer every question twice.
    """

    def listen(self, bot_id: int, deliver: Callable[[Letter], None]) -> Awaitable[int] | int:
        """Become the bot's listener. Returns the connection's fence: a newer one is higher."""
        ...

    def unlisten(self, bot_id: int, fence: int) -> Awaitable[None] | None:
        """Stop listening, unless a newer listener has taken over; then nothing happens."""
        ...

    def post(self, letter: Letter) -> Awaitable[bool] | bool:
        """Hand over a letter. False where nobody listens, and then nothing was queued."""
        ...


class Presence(Protocol):
    """Which bots are connected, by their live connections and nothing else."""

    def is_online(self, bot_id: int) -> Awaitable[bool] | bool:
        """Whether a live connection listens for this bot right now."""
        ...

    def online(self) -> Awaitable[frozenset[int]] | frozenset[int]:
        """The ids of all bots that are connected, on any node."""
        ...


async def settle(result: Awaitable[_T] | _T) -> _T:
    """Await what a port returned, where it is not there yet."""
    if isinstance(result, Awaitable):
        # A port's results are plain values; none of them is awaitable itself.
        return cast("_T", await result)
    return result
