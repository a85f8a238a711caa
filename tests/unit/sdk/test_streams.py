from __future__ import annotations

import asyncio

from relay.protocol.events import Abort, Chunk, End
from relay.protocol.sending import Closed, SenderLimits, Stored
from relay.protocol.texthash import content_hash
from relay.wire.bot_messages import Closed as WireClosed
from relay.wire.bot_messages import OpenStreamState
from relay_sdk.streams import ReplyOutcome, Streams

Sent = list[tuple[str, Chunk | End | Abort]]


def make_streams() -> tuple[Streams, Sent]:
    """Streams over a wire that only remembers, and in which nothing happens by time."""
    sent: Sent = []
    limits = SenderLimits(ack_timeout_s=3600.0, give_up_s=7200.0)
    return Streams(lambda stream_id, message: sent.append((stream_id, message)), limits), sent


async def test_each_stream_counts_for_itself() -> None:
    """Two answers at once have their own sequences and their own hash."""
    streams, sent = make_streams()
    one, two = streams.open("one", 10), streams.open("two", 10)
    streams.write(one, "a")
    streams.write(two, "b")
    streams.write(one, "c")
    streams.receive("one", Stored(2, (), 10))
    streams.end(one)
    assert sent == [
        ("one", Chunk("a", 0)),
        ("two", Chunk("b", 0)),
        ("one", Chunk("c", 1)),
        ("one", End(2, content_hash("ac"))),
    ]
    streams.close()


async def test_the_timer_serves_whichever_stream_is_due() -> None:
    """Both are sent again although there is one timer, armed by the first."""
    resent = {"one": asyncio.Event(), "two": asyncio.Event()}
    counts = {"one": 0, "two": 0}

    def transmit(stream_id: str, message: Chunk | End | Abort) -> None:
        counts[stream_id] += 1
        if counts[stream_id] == 3:
            resent[stream_id].set()

    streams = Streams(transmit, SenderLimits(ack_timeout_s=0.02))
    for name in ("one", "two"):
        streams.write(streams.open(name, 10), name)
    for name in ("one", "two"):
        await resent[name].wait()
    streams.close()


async def test_a_nearer_deadline_moves_the_timer_forward() -> None:
    """A timer that was armed for an hour from now does not hide what is due at once."""
    resent = asyncio.Event()
    sent: Sent = []

    def transmit(stream_id: str, message: Chunk | End | Abort) -> None:
        sent.append((stream_id, message))
        if len(sent) == 2:
            resent.set()

    streams = Streams(transmit, SenderLimits(ack_timeout_s=0.02, give_up_s=3600.0))
    stream = streams.open("one", 10)
    streams.connection_lost()
    streams.connection_restored([OpenStreamState("one", "e", "active", 0, (), 10)])
    streams.write(stream, "a")
    await resent.wait()
    assert sent == [("one", Chunk("a", 0))] * 2
    streams.close()


async def test_whoever_waits_for_room_is_woken_by_an_ack() -> None:
    """No polling: the ACK itself wakes the writer."""
    streams, _ = make_streams()
    stream = streams.open("one", 1)
    streams.write(stream, "a")
    waiting = asyncio.create_task(stream.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    streams.receive("one", Stored(1, (), 1))
    await waiting


async def test_whoever_waits_for_room_is_woken_by_the_end() -> None:
    """A writer never waits for a stream that is over."""
    streams, _ = make_streams()
    stream = streams.open("one", 0)
    waiting = asyncio.create_task(stream.room())
    await asyncio.sleep(0)
    streams.receive("one", Closed("idle", 0, ()))
    await waiting
    assert stream.outcome == ReplyOutcome("idle", 0, ())


async def test_settled_streams_are_forgotten() -> None:
    """Late feedback is stale, and `settled()` returns once the last stream is over."""
    streams, sent = make_streams()
    stream = streams.open("one", 10)
    waiting = asyncio.create_task(streams.settled())
    await asyncio.sleep(0)
    assert not waiting.done()
    streams.receive("one", Closed("completed", 0, ()))
    await waiting
    assert (len(streams), streams.get("one")) == (0, None)
    streams.receive("one", Stored(5, (), 10))
    streams.write(stream, "late")
    streams.end(stream)
    assert sent == []


async def test_a_resume_tells_open_from_closed_from_unknown() -> None:
    """Each stream gets what the relay says about it, and lost where it says nothing."""
    streams, sent = make_streams()
    opened, closed, unknown = (streams.open(name, 10) for name in ("open", "closed", "unknown"))
    for stream in (opened, closed, unknown):
        streams.write(stream, "a")
    streams.connection_lost()
    sent.clear()
    streams.connection_restored(
        [
            OpenStreamState("open", "e", "active", 0, (), 10),
            WireClosed("closed", "bot_gone", 1, ((0, 0),)),
        ]
    )
    assert sent == [("open", Chunk("a", 0))]
    assert closed.outcome == ReplyOutcome("bot_gone", 1, ((0, 0),))
    assert unknown.outcome == ReplyOutcome("lost", 1, ((0, 0),))
    streams.close()
