"""An owner of a stream, of which a test sees what it tells and what it writes."""

from __future__ import annotations

from collections.abc import Awaitable

from relay.broker.base import StreamLog
from relay.broker.memory import MemoryLog
from relay.errors import BrokerError, UnknownStream
from relay.node.decisions import AckNext, Reaction, Stored
from relay.node.owner import StreamOwner
from relay.protocol.events import Message
from relay.protocol.limits import Limits
from tests.support.brokers import DelayedLog
from tests.support.node import META, NOW


class Owned:
    """An owner of a log, and what it told."""

    def __init__(self, log: StreamLog, inner: MemoryLog, *, can_resend: bool = True) -> None:
        self.inner = inner
        self.told: list[tuple[Reaction | AckNext, float | None, Stored, int]] = []
        """Each reaction, its `now` if it is told one, and what was stored by the owner's and the
        log's account."""
        self.failures: list[BrokerError | UnknownStream] = []
        self.owner = StreamOwner(
            inner.create(META),
            limits=Limits(),
            can_resend=can_resend,
            log=log,
            host=self,
            failed=self.failures.append,
        )

    def acknowledge(self, first: int, last: int) -> None:
        self.told.append((AckNext(first, last), None, self.owner.stored, self._written))

    def react(self, reaction: Reaction, now: float) -> None:
        self.told.append((reaction, now, self.owner.stored, self._written))

    def say(self, message: Message, at: float = 0.0) -> Awaitable[None] | None:
        return self.owner.receive(message, NOW + at)

    @property
    def _written(self) -> int:
        return len(self.inner.read("s", 0, 1000))

    @property
    def reactions(self) -> list[Reaction | AckNext]:
        return [reaction for reaction, *_ in self.told]

    @property
    def log(self) -> list[tuple[str, int | None]]:
        return [(entry.kind.value, entry.sequence) for entry in self.inner.read("s", 0, 1000)]


def near() -> Owned:
    """An owner whose writes are done at once."""
    log = MemoryLog()
    return Owned(log, log)


def far() -> tuple[Owned, DelayedLog]:
    """An owner whose writes wait until the test lets them go on."""
    inner = MemoryLog()
    log = DelayedLog(inner)
    log.held = True
    return Owned(log, inner), log
