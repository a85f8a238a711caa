"""The broker of a single process: everything in dictionaries, everything done at once.

Not a mock: it is what most relays run on. What it cannot do is outlive its process, so an
ACK at this level ("memory") survives everything but the end of the relay.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay.broker.base import (
    NO_NOTES,
    Broker,
    Letter,
    LogSnapshot,
    LogState,
    Notes,
    ReadReport,
    StreamLog,
    StreamMeta,
)
from relay.errors import Fenced, OffsetMismatch, StreamExists, UnknownStream
from relay.protocol.events import Entry, EntryKind, HeldChunk

DURABILITY = "memory"


def new_epoch() -> str:
    """Return a new log identity: 64 random bits, so that two logs never share one."""
    return secrets.token_hex(8)


@dataclass(slots=True)
class _Log:
    meta: StreamMeta
    epoch: str
    fence: int
    entries: list[Entry] = field(default_factory=list)
    held: dict[int, HeldChunk] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    watchers: dict[int, Callable[[], None]] = field(default_factory=dict)
    woken: tuple[Callable[[], None], ...] | None = None
    """The same, as they are told of an append; None where somebody has come or gone."""

    def note(self, notes: Notes) -> None:
        for name, text in notes.items():
            if text:
                self.notes[name] = text
            else:
                self.notes.pop(name, None)

    def wake(self) -> None:
        woken = self.woken
        if woken is None:
            woken = self.woken = tuple(self.watchers.values())
        for wake in woken:
            wake()


class MemoryLog(StreamLog):
    """`StreamLog` in memory. No method awaits or copies more than it returns."""

    @property
    def durability(self) -> str:
        """See `StreamLog.durability`."""
        return DURABILITY

    def __init__(self, *, epochs: Callable[[], str] = new_epoch) -> None:
        self._epochs = epochs
        self._logs: dict[str, _Log] = {}
        self._watcher_id = 0
        self._fence = 0
        """The highest of all logs that were dropped."""

    def __len__(self) -> int:
        return len(self._logs)

    def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
        """See `StreamLog.create`."""
        if meta.stream_id in self._logs:
            raise StreamExists(meta.stream_id)
        log = self._logs[meta.stream_id] = _Log(meta, self._epochs(), self._fence + 1)
        log.notes.update(notes)
        return _snapshot(log)

    def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        """See `StreamLog.claim`."""
        log = self._log(stream_id, epoch)
        log.fence += 1
        return _snapshot(log)

    def append(
        self,
        stream_id: str,
        fence: int,
        offset: int,
        entries: Sequence[Entry],
        held: Sequence[HeldChunk],
        notes: Notes = NO_NOTES,
    ) -> None:
        """See `StreamLog.append`. Done when it returns."""
        log = self._logs.get(stream_id)
        if log is None:
            raise UnknownStream(stream_id)
        if fence != log.fence:
            raise Fenced(f"fence {fence} is not {log.fence}")
        if offset != len(log.entries) + 1:
            raise OffsetMismatch(f"offset {offset} is not {len(log.entries) + 1}")
        if held:
            for chunk in held:
                log.held[chunk.sequence] = chunk
        log.entries.extend(entries)
        if log.held:
            for entry in entries:
                if entry.kind is EntryKind.CHUNK and entry.sequence is not None:
                    log.held.pop(entry.sequence, None)
        if notes:
            log.note(notes)
        if entries:
            log.wake()

    def read(
        self, stream_id: str, after: int, limit: int, epoch: str | None = None
    ) -> Sequence[Entry]:
        """See `StreamLog.read`."""
        return self._log(stream_id, epoch).entries[after : after + limit]

    def describe(self, stream_id: str) -> LogState:
        """See `StreamLog.describe`."""
        log = self._log(stream_id)
        ended = bool(log.entries) and log.entries[-1].kind is EntryKind.END
        return LogState(log.meta, log.epoch, len(log.entries) + 1, ended)

    def watch(self, stream_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `StreamLog.watch`."""
        log = self._log(stream_id)
        self._watcher_id += 1
        mine = self._watcher_id
        log.watchers[mine] = wake
        log.woken = None

        def stop() -> None:
            log.watchers.pop(mine, None)
            log.woken = None

        return stop

    def drop(self, stream_id: str) -> None:
        """See `StreamLog.drop`."""
        log = self._logs.pop(stream_id, None)
        if log is not None:
            self._fence = max(self._fence, log.fence)
            log.entries = []  # its watchers know it until they leave
            log.wake()

    def _log(self, stream_id: str, epoch: str | None = None) -> _Log:
        log = self._logs.get(stream_id)
        if log is None:
            raise UnknownStream(stream_id)
        # Mostly it is the same object: then no look into it is needed.
        if epoch is not log.epoch and epoch is not None and epoch != log.epoch:
            raise UnknownStream(stream_id)
        return log


def _snapshot(log: _Log) -> LogSnapshot:
    return LogSnapshot(
        meta=log.meta,
        epoch=log.epoch,
        fence=log.fence,
        entries=tuple(log.entries),
        held=tuple(log.held.values()),
        notes=dict(log.notes),
    )


class MemoryMailbox:
    """`CommandMailbox` and `Presence` in memory: who listens is who is online."""

    def __init__(self) -> None:
        self._listeners: dict[int, tuple[int, Callable[[Letter], None]]] = {}
        self._fence = 0

    def listen(
        self, bot_id: int, deliver: Callable[[Letter], None], _replaced: Callable[[], None]
    ) -> int:
        """See `CommandMailbox.listen`."""
        self._fence += 1
        self._listeners[bot_id] = (self._fence, deliver)
        return self._fence

    def unlisten(self, bot_id: int, fence: int) -> None:
        """See `CommandMailbox.unlisten`."""
        listener = self._listeners.get(bot_id)
        if listener is not None and listener[0] == fence:
            del self._listeners[bot_id]

    def post(self, letter: Letter) -> bool:
        """See `CommandMailbox.post`."""
        listener = self._listeners.get(letter.bot_id)
        if listener is None:
            return False
        listener[1](letter)
        return True

    def is_online(self, bot_id: int) -> bool:
        """See `Presence.is_online`."""
        return bot_id in self._listeners

    def online(self) -> frozenset[int]:
        """See `Presence.online`."""
        return frozenset(self._listeners)


class MemoryCluster:
    """`Cluster` of a process that shares its log with nobody."""

    @property
    def node_id(self) -> str:
        """See `Cluster.node_id`."""
        return "here"

    @property
    def alone(self) -> bool:
        """See `Cluster.alone`."""
        return True

    def streams_of(self, _bot_id: int) -> Sequence[str]:
        """See `Cluster.streams_of`: none but those that the node knows itself."""
        return ()

    def newest(self, _access_key_id: int, _conversation_id: str) -> None:
        """See `Cluster.newest`: none but what the node knows itself."""

    def orphans(self, _limit: int) -> Sequence[str]:
        """See `Cluster.orphans`."""
        return ()

    def settled(self, _stream_id: str) -> None:
        """See `Cluster.settled`."""

    def report(self, _stream_id: str, _report: ReadReport) -> None:
        """See `Cluster.report`."""

    def reports(self, _stream_id: str) -> Sequence[ReadReport]:
        """See `Cluster.reports`."""
        return ()

    def on_news(self, *, reported: Callable[[str], None], claimed: Callable[[str], None]) -> None:
        """See `Cluster.on_news`."""

    def leave(self) -> None:
        """See `Cluster.leave`."""


def memory_broker() -> Broker:
    """Return the broker of a single process."""
    mailbox = MemoryMailbox()
    return Broker(MemoryLog(), mailbox, mailbox, MemoryCluster())
