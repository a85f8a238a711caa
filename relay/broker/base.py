"""What the relay needs from a broker: a log per stream, a mailbox per bot, presence, the cluster.

Four small ports. Their docstrings are the contract; `tests/contract/` runs the same
suite on every implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeVar, cast

from relay.protocol.events import Entry, HeldChunk

_T = TypeVar("_T")

Notes = Mapping[str, str]
"""What is kept beside a log, by names: what its next owner needs and no entry says."""

NO_NOTES: Notes = MappingProxyType({})


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
    notes: Notes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogState:
    """Where a log stands, for somebody who only reads it."""

    meta: StreamMeta
    epoch: str
    next_offset: int
    """The offset of the entry that comes next; 1 in an empty log."""
    ended: bool
    """Whether the `end` entry is in it."""


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

    __slots__ = ()

    @property
    def durability(self) -> str:
        """What an ACK survives: `"memory"`, `"redis"` or `"redis+wait"`. Told to the bot."""
        ...

    def create(
        self, meta: StreamMeta, notes: Notes = NO_NOTES
    ) -> Awaitable[LogSnapshot] | LogSnapshot:
        """Make an empty log, granted to the caller. Its epoch is new and unique.

        Its fence is above those of all logs that the stream had before, so that their owners,
        who may not know yet that they are gone, write nothing to this one.

        Raises `StreamExists` where the stream id is taken.
        """
        ...

    def claim(
        self, stream_id: str, epoch: str | None = None
    ) -> Awaitable[LogSnapshot] | LogSnapshot:
        """Take over as the owner: raise the fence by one and return all that is stored.

        From then on every append with an older fence raises `Fenced`.
        Raises `UnknownStream` where there is no such log (any more), or none of this `epoch`;
        then nothing has changed.
        """
        ...

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> Awaitable[None] | None:
        """Store `entries` from `offset` on, `held` and `notes` beside the log, all or none.

        Returns None where the write is already done (the memory broker), else something to
        await. A chunk entry takes its held copy with it. A note takes the place of the one of
        its name; an empty one only takes that away. Raises `Fenced`, `OffsetMismatch`,
        `UnknownStream`, or `BrokerUnavailable` where nobody knows whether it was written.
        """
        ...

    def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Awaitable[Sequence[Entry]] | Sequence[Entry]:
        """Return at most `limit` entries with an offset greater than `after`.

        Empty where there are none yet. Raises `UnknownStream`, also where the stream has another
        log than that of `epoch` by now: a reader of one must not go on in the other.
        """
        ...

    def describe(self, stream_id: str) -> Awaitable[LogState] | LogState:
        """Return where the log stands. Raises `UnknownStream`."""
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

    def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], replaced: Callable[[], None]
    ) -> Awaitable[int] | int:
        """Become the bot's listener. Returns the connection's fence: a newer one is higher.

        `replaced` is called once where a listener on another node has taken over. On this node
        the caller knows that itself.
        """
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


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What the readers of one stream on one node were handed so far."""

    node_id: str
    readers: int
    """How many read just now."""
    can_resume: bool
    """Whether the newest of them can come back."""
    read_to_end: bool
    delivered_at: tuple[float, ...]
    """When the entries 1, 2, ... were first handed over, in seconds since the epoch."""


class Cluster(Protocol):
    """What the nodes that share a broker know of each other.

    *A node that dies leaves its streams to the others.* Every stream has an owner's node: the
    one that created or claimed its log last. Where that node gives no sign of life any more,
    its streams are orphans, and each is handed to one of the nodes that ask for them.

    *A device may read on another node than its bot's.* Its node reports what it was handed, and
    the owner, which writes the trace, asks for the reports.
    """

    @property
    def node_id(self) -> str:
        """This node, unique for each start of a process."""
        ...

    @property
    def alone(self) -> bool:
        """Whether there can be no other node, so that nothing has to be asked or reported."""
        ...

    def streams_of(self, bot_id: int) -> Awaitable[Sequence[str]] | Sequence[str]:
        """Return the ids of the bot's streams that have not ended, whoever owns them."""
        ...

    def newest(
        self, access_key_id: int, conversation_id: str
    ) -> Awaitable[str | None] | str | None:
        """Return the id of the stream that was opened last with this key in this conversation.

        None where none is known; one that is returned may be gone.
        """
        ...

    def orphans(self, limit: int) -> Awaitable[Sequence[str]] | Sequence[str]:
        """Take at most `limit` streams whose owner's node is gone: claim them, or they are lost.

        Ended ones too, as long as `settled` was not said of them.
        """
        ...

    def settled(self, stream_id: str) -> Awaitable[None] | None:
        """The stream has ended and its trace is written: nobody has to take care of it."""
        ...

    def report(self, stream_id: str, report: ReadReport) -> Awaitable[None] | None:
        """Keep what this node's readers were handed, and tell the owner's node."""
        ...

    def reports(self, stream_id: str) -> Awaitable[Sequence[ReadReport]] | Sequence[ReadReport]:
        """Return the newest report of each node; a node that is gone has no readers."""
        ...

    def on_news(self, *, reported: Callable[[str], None], claimed: Callable[[str], None]) -> None:
        """Call these with the id of a stream that this node owned, when there is news of it.

        `reported`: another node reported what its readers were handed. `claimed`: another node
        owns the stream now. Both are hints, which may come late, twice or never: the first is
        found in `reports` too, and the second by the next write, which is refused.
        """
        ...

    def leave(self) -> Awaitable[None] | None:
        """This node ends: what it owns is for the others, at once."""
        ...


@dataclass(frozen=True, slots=True)
class Broker:
    """The ports of one broker, as a node is given them."""

    log: StreamLog
    mailbox: CommandMailbox
    presence: Presence
    cluster: Cluster


async def settle(result: Awaitable[_T] | _T) -> _T:
    """Await what a port returned, where it is not there yet."""
    if isinstance(result, Awaitable):
        # A port's results are plain values; none of them is awaitable itself.
        return cast("_T", await result)
    return result
