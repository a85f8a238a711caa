"""A subscription: a cursor in a log, and the wish to be woken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.broker.base import StreamLog
from relay.broker.memory import MemoryLog
from relay.devices.base import StreamView
from relay.devices.plain import PlainEncoder, PlainProtocol
from relay.errors import BrokerUnavailable, UnknownStream
from relay.node import subscriber
from relay.node.audience import Audience
from relay.node.subscriber import READ_ENTRIES_MAX, WRITE_BYTES_MAX, Encodings, Subscription
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from tests.support.brokers import DelayedLog
from tests.support.node import META, NOW, settle_down

VIEW = StreamView("s", "epoch", "conversation", "agent", "zh")


class Counting(PlainProtocol):
    """Counts how often each entry is encoded."""

    def __init__(self) -> None:
        self.encoded: list[int] = []

    def encode(self, entry: Entry, view: StreamView) -> bytes:
        self.encoded.append(entry.offset)
        return super().encode(entry, view)

    def encoder(self, view: StreamView) -> PlainEncoder:
        return Unhurried(self, view)


class Unhurried(PlainEncoder):
    """Has its protocol encode each entry."""

    __slots__ = ()

    def encode(self, entry: Entry) -> bytes:
        return self._protocol.encode(entry, self._view)


class Told:
    """A reader that is called."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def news(self) -> None:
        self._call()


class Stage:
    """A log, and readers of it."""

    def __init__(self, inner: MemoryLog, log: StreamLog) -> None:
        self.inner = inner
        self.log = log
        inner.create(META)
        self.device = Counting()
        self.audience = Audience(opened_at=NOW, resume_grace_s=1.0, hangup_grace_s=1.0)
        self.encodings = Encodings(self.device, VIEW, self.audience)
        self.handed: list[tuple[int, bool]] = []
        self.gone = 0
        self._offset = 0

    def handed_over(self, offset: int, *, ended: bool) -> None:
        self.handed.append((offset, ended))

    def left(self) -> None:
        self.gone += 1
        self.audience.leave(NOW)

    def subscribe(self, after: int = 0) -> Subscription:
        self.audience.join(can_resume=True)
        return Subscription(
            self.log,
            VIEW,
            self.encodings,
            after=after,
            finished=False,
            host=self,
        )

    def write(self, *texts: str) -> None:
        """Append chunks in one go."""
        start = self._offset + 1
        self._offset += len(texts)
        self.inner.append("s", 1, start, [chunk(start + i, t) for i, t in enumerate(texts)], [])

    def end(self) -> None:
        self._offset += 1
        entry = Entry(self._offset, EntryKind.END, NOW, total_chunks=0, outcome=Outcome.COMPLETED)
        self.inner.append("s", 1, self._offset, [entry], [])

    def frames(self, *offsets: int) -> bytes:
        """What a device is sent for these entries."""
        entries = self.inner.read("s", 0, self._offset)
        return b"".join(self.device.encode(entries[offset - 1], VIEW) for offset in offsets)


async def poll(reader: Subscription) -> bytes | None:
    """Poll, whichever log it is."""
    polled = reader.poll()
    return await polled if isinstance(polled, Awaitable) else polled


def chunk(offset: int, text: str) -> Entry:
    """A chunk's entry."""
    return Entry(offset, EntryKind.CHUNK, NOW, text, offset - 1)


@pytest.fixture(params=["memory", "delayed"])
async def stage(request: pytest.FixtureRequest) -> Stage:
    """Readers of a log here, and of one across a network."""
    inner = MemoryLog(epochs=lambda: "epoch")
    return Stage(inner, inner if request.param == "memory" else DelayedLog(inner))


@pytest.fixture
async def far_stage() -> Stage:
    """Readers of a log across a network."""
    inner = MemoryLog(epochs=lambda: "epoch")
    return Stage(inner, DelayedLog(inner))


async def test_a_reader_gets_what_is_there_and_then_what_comes(stage: Stage) -> None:
    """It waits until there is something, and is woken by the append."""
    stage.write("a", "b")
    reader = stage.subscribe()
    first = await reader.next()
    assert (first.offset, first.ended, len(first.entries)) == (2, False, 2)
    waiting = asyncio.ensure_future(reader.next())
    await settle_down()
    assert not waiting.done()
    stage.write("c")
    assert (await waiting).offset == 3


async def test_a_slow_reader_catches_up_with_one_batch(stage: Stage) -> None:
    """No queue grew meanwhile: everything since its cursor is one write."""
    reader = stage.subscribe()
    for number in range(500):
        stage.write(f"{number}")
    batch = await reader.next()
    assert (len(batch.entries), batch.offset) == (500, 500)
    assert batch.data == b"".join(stage.device.encode(entry, VIEW) for entry in batch.entries)


async def test_one_read_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads more than `READ_ENTRIES_MAX` entries at a time."""
    monkeypatch.setattr(subscriber, "WRITE_BYTES_MAX", 1_000_000)
    stage.write(*("x" for _ in range(READ_ENTRIES_MAX + 1)))
    reader = stage.subscribe()
    assert len((await reader.next()).entries) == READ_ENTRIES_MAX
    assert len((await reader.next()).entries) == 1


async def test_whoever_polls_is_told_that_a_full_read_may_have_left_something(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log does not tell it again, and a read that is not full has left nothing."""
    monkeypatch.setattr(subscriber, "WRITE_BYTES_MAX", 1_000_000)
    last = READ_ENTRIES_MAX + 1
    stage.write(*("x" for _ in range(last)))
    reader = stage.subscribe()
    told: list[str] = []
    reader.tell(Told(lambda: told.append("news")))
    assert await poll(reader) == stage.frames(*range(1, last))
    assert told == ["news"]
    assert await poll(reader) == stage.frames(last)
    assert told == ["news"]
    assert await poll(reader) is None


async def test_one_write_is_bounded_and_what_does_not_fit_comes_next(stage: Stage) -> None:
    """In order, without another read of the log; an entry that is too large comes alone."""
    sizes = (10, WRITE_BYTES_MAX - 2_000, 10, WRITE_BYTES_MAX, 10, 10)
    stage.write(*("x" * size for size in sizes))
    stage.end()
    reader = stage.subscribe()
    told: list[int] = []
    reader.tell(Told(lambda: told.append(len(taken))))
    taken: list[bytes | None] = []
    while not reader.finished:
        taken.append(await poll(reader))
    assert taken == [stage.frames(1, 2, 3), stage.frames(4), stage.frames(5, 6, 7)]
    assert told == [0, 1], "whoever polls has to be told that there is more"


async def test_what_comes_while_a_rest_waits_is_told_of_after_the_rest(stage: Stage) -> None:
    """Who was told of it, and polled, got the rest: nothing more may come to tell it again."""
    stage.write(*("x" * WRITE_BYTES_MAX, "rest"))
    reader = stage.subscribe()
    told: list[str] = []
    reader.tell(Told(lambda: told.append("news")))
    taken = [await poll(reader)]
    stage.write("came while the rest waited")
    stage.end()
    while told:
        told.clear()
        taken.append(await poll(reader))
    assert taken == [stage.frames(1), stage.frames(2), stage.frames(3, 4)]


@pytest.mark.parametrize("after", range(6))
async def test_a_reader_that_resumes_anywhere_gets_identical_bytes(
    stage: Stage, after: int
) -> None:
    """Live and replayed alike: the rest of the stream, with the same ids."""
    live = stage.subscribe()
    frames = []
    for text in ("你", "\n\n", "", "🦞", "\r\u2028"):
        stage.write(text)
        frames.append((await live.next()).data)
    stage.end()
    frames.append((await live.next()).data)
    assert live.finished
    resumed = stage.subscribe(after)
    batch = await resumed.next()
    assert batch.data == b"".join(frames[after:])
    assert batch.ended
    assert resumed.finished


async def test_an_entry_is_encoded_once_for_all_readers(stage: Stage) -> None:
    """However many there are, and wherever they begin."""
    readers = [stage.subscribe(after) for after in (0, 0, 1)]
    stage.write("a", "b", "c")
    batches = [await reader.next() for reader in readers]
    assert stage.device.encoded == [1, 2, 3]
    assert batches[0].data == batches[1].data
    assert batches[0].data.endswith(batches[2].data)


async def test_those_who_are_up_to_date_share_what_is_encoded(stage: Stage) -> None:
    """Also where the log grows by one entry at a time."""
    readers = [stage.subscribe() for _ in range(3)]
    for text in ("a", "b"):
        stage.write(text)
        first, *others = [(await reader.next()).data for reader in readers]
        assert others == [first, first]
    assert stage.device.encoded == [1, 2]


async def test_nothing_is_kept_for_an_only_reader(stage: Stage) -> None:
    """One that comes later after all has the entry encoded once more, and the next one shared."""
    early = stage.subscribe()
    stage.write("a")
    first = await early.next()
    late = stage.subscribe()
    assert (await late.next()).data == first.data
    stage.write("b")
    assert (await early.next()).data == (await late.next()).data
    assert stage.device.encoded == [1, 1, 2]


async def test_an_entry_that_is_not_shown_has_no_bytes(stage: Stage) -> None:
    """The batch still moves the cursor behind it."""
    reader = stage.subscribe()
    stage.inner.append("s", 1, 1, [Entry(1, EntryKind.ENDING, NOW)], [])
    batch = await reader.next()
    assert (batch.data, batch.offset, batch.ended) == (b"", 1, False)


@pytest.mark.parametrize("turns", range(4))
async def test_a_wait_that_is_cancelled_loses_nothing(stage: Stage, turns: int) -> None:
    """At any moment: while it waits, while it reads, and when news came just then."""
    reader = stage.subscribe()
    waiting = asyncio.ensure_future(reader.next())
    await settle_down()
    stage.write("a")
    for _ in range(turns):
        await asyncio.sleep(0)
    got = waiting.done()
    waiting.cancel()
    await settle_down()
    stage.write("b")
    batch = await reader.next()
    texts = [entry.content for entry in batch.entries]
    assert texts == (["b"] if got else ["a", "b"])


@pytest.mark.parametrize("turns", range(5))
async def test_an_append_during_the_read_is_not_missed(stage: Stage, turns: int) -> None:
    """Cleared before the read, the wish to be woken survives it."""
    reader = stage.subscribe()
    waiting = asyncio.ensure_future(reader.next())
    for _ in range(turns):
        await asyncio.sleep(0)
    stage.write("a")
    assert (await asyncio.wait_for(waiting, 5)).offset == 1


async def test_a_dropped_log_wakes_its_readers(stage: Stage) -> None:
    """They are told that there is no such stream any more, and do not wait for ever."""
    readers = [stage.subscribe(), stage.subscribe()]
    waiting = [asyncio.ensure_future(reader.next()) for reader in readers]
    await settle_down()
    stage.inner.drop("s")
    for one in waiting:
        with pytest.raises(UnknownStream):
            await one


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is asked again without a pause."""
    monkeypatch.setattr(subscriber, "AWAY_RETRY_S", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_a_reader_waits_for_a_broker_that_is_away(far_stage: Stage) -> None:
    """It is cut off by nothing, and reads on where it stood; each absence is one of its own."""
    log = far_stage.log
    assert isinstance(log, DelayedLog)
    reader = far_stage.subscribe()
    far_stage.write("a")
    await reader.next()
    far_stage.write("b")
    for _ in range(2):
        log.reads_down = 1000
        waiting = asyncio.ensure_future(reader.next())
        await settle_down()
        assert log.reads_down < 1000
        assert not waiting.done()
        log.reads_down = 0
        assert [entry.content for entry in (await waiting).entries] == ["b"]
        far_stage.write("b")


@pytest.mark.usefixtures("at_once")
async def test_a_broker_that_is_away_for_too_long_is_given_up(
    far_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the shell says what it can."""
    monkeypatch.setattr(subscriber, "AWAY_MAX_S", 0.0)
    log = far_stage.log
    assert isinstance(log, DelayedLog)
    log.reads_down = 1000
    with pytest.raises(BrokerUnavailable):
        await far_stage.subscribe().next()


async def test_delivery_is_what_the_shell_says_and_not_what_was_read(stage: Stage) -> None:
    """The highest offset of the batch, once it is with the socket, and whether it is the end."""
    stage.write("a", "b")
    reader = stage.subscribe()
    await reader.next()
    assert stage.handed == []
    reader.delivered()
    stage.end()
    await reader.next()
    assert stage.handed == [(2, False)]
    reader.delivered()
    assert stage.handed == [(2, False), (3, True)]


async def test_a_reader_leaves_once(stage: Stage) -> None:
    """Closing is idempotent, `async with` does it, and nothing wakes it any more."""
    async with stage.subscribe() as reader:
        pass
    reader.close()
    assert stage.gone == 1
    woken: list[int] = []
    reader.tell(Told(lambda: woken.append(1)))
    stage.write("a")
    assert not woken
