"""What a peer sent is taken in turns that others share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from relay.web.hardened import portions as portions_module
from relay.web.hardened.portions import (
    PORTION_BYTES,
    TURN_BYTES,
    Portions,
    others_first,
)

READ = bytes(range(256)) * 1024
"""As much as one read of a socket brings."""


class Wire(asyncio.Transport):
    """A transport of which is known whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: bool | None = None
        self.closing = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def paused(self) -> bool:
        return self.reading is False

    def is_closing(self) -> bool:
        return self.closing


@dataclass
class Peer:
    """A protocol that takes, and may wait for its application."""

    wire: Wire = field(default_factory=Wire)
    taken: bytes = b""
    ready: bool = True
    pieces: int = 0

    def portions(self) -> Portions:
        loop = asyncio.get_running_loop()
        return Portions(loop, self.wire, self.take, lambda: self.ready)

    def take(self, data: bytes) -> None:
        self.taken += data
        self.pieces += 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each portion takes all of a turn."""
    monkeypatch.setattr(portions_module, "TURN_S", 0.0)


async def turns(count: int) -> None:
    """Let the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_ordinary_message_is_taken_at_once() -> None:
    """Nothing is copied, scheduled or paused for it."""
    peer = Peer()
    portions = peer.portions()
    portions.feed(b"hello")
    assert (peer.taken, peer.pieces, portions.waiting) == (b"hello", 1, False)


@pytest.mark.usefixtures("slow")
async def test_of_a_large_read_one_portion_is_taken_in_a_turn() -> None:
    """Everybody else has a turn between two of them, and nothing more is read meanwhile."""
    peer = Peer()
    portions = peer.portions()
    portions.feed(READ)
    assert peer.taken == READ[:PORTION_BYTES]
    assert peer.wire.paused()
    await turns(1)
    assert peer.taken == READ[: 2 * PORTION_BYTES]
    await turns(len(READ) // PORTION_BYTES)
    assert peer.taken == READ
    assert not peer.wire.paused()
    assert not portions.waiting


async def test_what_is_quick_is_taken_in_one_turn() -> None:
    """A turn is a time: chunks are decoded by the hundred in it."""
    peer = Peer()
    peer.portions().feed(READ[: 8 * PORTION_BYTES])
    assert peer.pieces > 1


async def test_a_turn_has_an_end_and_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever acts on turns is told behind each, also of what was taken at once."""
    monkeypatch.setattr(portions_module, "TURN_S", 100.0)
    peer, seen = Peer(), list[int]()
    portions = peer.portions()
    portions.turn_over = lambda: seen.append(len(peer.taken))
    portions.feed(b"hello")
    portions.feed(READ[: 2 * TURN_BYTES + 1])
    assert seen == [5, 5 + TURN_BYTES]
    await turns(3)
    assert seen == [5, 5 + TURN_BYTES, 5 + 2 * TURN_BYTES, 6 + 2 * TURN_BYTES]


@pytest.mark.usefixtures("slow")
async def test_nothing_is_taken_for_an_application_that_is_behind() -> None:
    """Else the queue in front of it would grow as it did before."""
    peer = Peer(ready=False)
    portions = peer.portions()
    portions.feed(READ)
    await turns(5)
    assert peer.taken == READ[:PORTION_BYTES]
    peer.ready = True
    portions.go_on()
    await turns(1)
    assert peer.taken == READ[: 2 * PORTION_BYTES]


@pytest.mark.usefixtures("slow")
async def test_what_is_read_meanwhile_comes_behind() -> None:
    """The order of the bytes is the peer's, whoever has the transport read on."""
    peer = Peer()
    portions = peer.portions()
    portions.feed(READ)
    portions.feed(b"more")
    peer.wire.resume_reading()
    await turns(1)
    assert peer.wire.paused(), "it is paused again as long as something is left"
    await turns(2 * len(READ) // PORTION_BYTES)
    assert peer.taken == READ + b"more"


@pytest.mark.usefixtures("slow")
async def test_a_connection_that_closes_is_not_read_on() -> None:
    """Neither where its protocol has closed it, nor where it is dropped from outside."""
    peer = Peer()
    portions = peer.portions()
    portions.feed(READ)
    peer.wire.closing = True
    await turns(3)
    assert peer.taken == READ[:PORTION_BYTES]
    assert not portions.waiting
    other = Peer()
    dropped = other.portions()
    dropped.feed(READ)
    dropped.drop()
    await turns(3)
    assert other.taken == READ[:PORTION_BYTES]


async def test_what_others_read_meanwhile_is_written_before_one_goes_on() -> None:
    """What a read leads to is written in the pass behind it, as `Passes` has it."""
    done: list[str] = []
    loop = asyncio.get_running_loop()

    def read() -> None:
        done.append("read")
        loop.call_soon(done.append, "written")

    async def go_on() -> None:
        await others_first()
        done.append("went on")

    going = asyncio.create_task(go_on())
    loop.call_soon(read)
    await going
    assert done == ["read", "written", "went on"]
