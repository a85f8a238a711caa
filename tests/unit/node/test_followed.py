"""A stream that is read here and owned elsewhere: what its owner is told."""

from __future__ import annotations

from relay.broker.base import ReadReport
from relay.broker.memory import MemoryLog
from relay.devices.base import StreamView
from relay.devices.plain import PlainProtocol
from relay.node.audience import Audience
from relay.node.followed import FollowedStream
from relay.node.readership import Readership
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from tests.support.node import META, NOW


async def test_its_owner_is_told_of_readers_and_of_the_end_and_not_of_each_chunk() -> None:
    """A report per chunk would cost as much as the chunk."""
    log = MemoryLog(epochs=lambda: "epoch")
    log.create(META)
    view = StreamView(META.stream_id, "epoch", "c", "a", "zh")
    audience = Audience(opened_at=NOW, resume_grace_s=30.0, hangup_grace_s=2.0)
    told: list[ReadReport] = []
    followed = FollowedStream(
        META,
        Readership(log, view, audience, lambda: NOW + 1.0),
        tell=lambda stream: told.append(stream.report("here")),
    )
    reader = followed.readership.subscribe(PlainProtocol(), after=0, finished=False)
    log.append(META.stream_id, 1, 1, [Entry(1, EntryKind.CHUNK, NOW, "a", 0)], [])
    await reader.next()
    reader.delivered()
    assert told == [ReadReport("here", 1, True, False, ())]
    end = Entry(2, EntryKind.END, NOW, total_chunks=1, outcome=Outcome.COMPLETED)
    log.append(META.stream_id, 1, 2, [end], [])
    await reader.next()
    reader.delivered()
    reader.close()
    times = (NOW + 1.0, NOW + 1.0)
    assert told[1:] == [
        ReadReport("here", 1, True, True, times),
        ReadReport("here", 0, True, True, times),
    ]
