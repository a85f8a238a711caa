"""The readers of one stream on one node, whoever owns it."""

from __future__ import annotations

from dataclasses import dataclass

from relay.broker.memory import MemoryLog
from relay.devices.base import StreamView
from relay.devices.plain import PlainProtocol
from relay.node.audience import Audience
from relay.node.readership import Readership
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from tests.support.node import META, NOW


@dataclass
class Host:
    """Counts what it is told."""

    handed: int = 0
    changed: int = 0

    def handed_over(self) -> None:
        self.handed += 1

    def readers_changed(self) -> None:
        self.changed += 1


def a_readership() -> tuple[Readership, MemoryLog]:
    """Nobody reads yet, and the log is empty."""
    log = MemoryLog(epochs=lambda: "epoch")
    log.create(META)
    view = StreamView(META.stream_id, "epoch", "c", "a", "zh")
    audience = Audience(opened_at=NOW, resume_grace_s=30.0, hangup_grace_s=2.0)
    return Readership(log, view, audience, lambda: NOW), log


async def test_the_host_is_told_of_readers_and_of_what_is_news_to_a_device() -> None:
    """A second reader that is handed the same is no news, but it is a reader."""
    readership, log = a_readership()
    host = readership.host = Host()
    log.append(META.stream_id, 1, 1, [Entry(1, EntryKind.CHUNK, NOW, "a", 0)], [])
    for _ in range(2):
        async with readership.subscribe(PlainProtocol(), after=0, finished=False) as reader:
            await reader.next()
            reader.delivered()
    assert (host.handed, host.changed) == (1, 4)
    assert readership.audience.delivered == 1
    assert not readership.audience.read_to_end


async def test_a_reader_reads_on_while_the_host_changes() -> None:
    """The stream went to another owner in between; the new host is told of the rest."""
    readership, log = a_readership()
    first = readership.host = Host()
    reader = readership.subscribe(PlainProtocol(), after=0, finished=False)
    log.append(META.stream_id, 1, 1, [Entry(1, EntryKind.CHUNK, NOW, "a", 0)], [])
    await reader.next()
    reader.delivered()
    second = readership.host = Host()
    end = Entry(2, EntryKind.END, NOW, total_chunks=1, outcome=Outcome.COMPLETED)
    log.append(META.stream_id, 1, 2, [end], [])
    await reader.next()
    reader.delivered()
    reader.close()
    assert (first.handed, first.changed) == (1, 1)
    assert (second.handed, second.changed) == (1, 1)
    assert readership.audience.read_to_end
