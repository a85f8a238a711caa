"""Two cores back to back over a link that drops, repeats, delays (and so reorders) and breaks."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.events import Abort, Chunk, End, Nack, Part, Refuse
from relay.protocol.sender import StreamSender
from relay.protocol.sending import (
    Closed,
    Feedback,
    SendEffect,
    SenderLimits,
    Settled,
    Stored,
    Transmit,
)
from relay.protocol.texthash import content_hash
from tests.support.core import PARTS
from tests.support.halves import Half, PatientHalf, RelayHalf

STEPS_MAX = 50_000

Piece = str | Part
"""What a bot writes."""


class Weather:
    """Decides each frame's fate: how many copies arrive, and when."""

    def __init__(self, random: Random, drop: float, duplicate: float, delay_max_s: float) -> None:
        self._random = random
        self._drop = drop
        self._duplicate = duplicate
        self._delay_max_s = delay_max_s

    def arrivals(self, now: float) -> Iterator[float]:
        for _ in range(2 if self._random.random() < self._duplicate else 1):
            if self._random.random() >= self._drop:
                yield now + self._random.uniform(0.001, self._delay_max_s)


class Conversation:
    """Runs a sender against a relay's half on virtual time, until the sender has settled."""

    def __init__(self, sender: StreamSender, half: Half, weather: Weather) -> None:
        self.now = 0.0
        self.settled: Settled | None = None
        self._sender = sender
        self._half = half
        self._weather = weather
        self._connection = 0
        self._connected = True
        self._order = count()
        self._agenda: list[tuple[float, int, str, object, int]] = []

    def plan(self, at: float, what: str, value: object = None) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), what, value, self._connection))

    def run(self, pieces: list[Piece]) -> Settled:
        self._writing = list(pieces)
        self.plan(0.0, "write")
        for _ in range(STEPS_MAX):
            if self.settled is not None:
                return self.settled
            self._step()
        raise AssertionError("it never settles")

    def _step(self) -> None:
        timers = [
            (at, name)
            for at, name in (
                (self._sender.next_deadline(), "sender"),
                (self._half.next_deadline(), "half"),
            )
            if at is not None
        ]
        timer = min(timers, default=(float("inf"), ""))
        if not self._agenda or timer[0] < self._agenda[0][0]:
            assert timer[1], "nothing is going on and nothing is due: a deadlock"
            self.now = max(self.now, timer[0])
            if timer[1] == "sender":
                self._perform(self._sender.handle_timer(self.now))
            else:
                self._answer(self._half.handle_timer(self.now))
            return
        at, _, what, value, connection = heapq.heappop(self._agenda)
        self.now = max(self.now, at)
        match what:
            case "write":
                self._write()
            case "to_relay" if connection == self._connection:
                assert isinstance(value, Chunk | End | Abort)
                self._answer(self._half.receive(value, self.now))
            case "to_bot" if connection == self._connection:
                assert isinstance(value, Stored | Nack | Refuse | Closed)
                self._perform(self._sender.receive(value, self.now))
            case "break" if self._connected:
                self._break()
            case "mend" if not self._connected:
                self._mend()

    def _write(self) -> None:
        while self._writing and self._sender.writable:
            piece = self._writing.pop(0)
            if isinstance(piece, Part):
                self._perform(self._sender.write_part(piece, self.now))
            else:
                self._perform(self._sender.write(piece, self.now))
            if self._writing:
                self.plan(self.now + 0.03, "write")
                return
        if self._writing:
            self.plan(self.now + 0.03, "write")
        else:
            self._perform(self._sender.end(self.now))

    def _break(self) -> None:
        self._connected = False
        self._connection += 1  # what is on its way is gone
        self._half.disconnected(self.now)
        self._perform(self._sender.connection_lost(self.now))
        self.plan(self.now + 0.3, "mend")

    def _mend(self) -> None:
        self._connected = True
        self._connection += 1
        state = self._half.state()
        if isinstance(state, Closed):
            self._perform(self._sender.receive(state, self.now))
        else:
            self._perform(
                self._sender.connection_restored(
                    state.next_sequence, state.received, state.credit, self.now
                )
            )
        self._answer(self._half.connected(self.now))

    def _answer(self, feedback: list[Feedback]) -> None:
        if self._connected:
            for item in feedback:
                for at in self._weather.arrivals(self.now):
                    self.plan(at, "to_bot", item)

    def _perform(self, effects: list[SendEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Settled):
                assert self.settled is None, "settled twice"
                self.settled = effect
            elif isinstance(effect, Transmit):
                assert self._connected, "sent into a broken connection"
                for at in self._weather.arrivals(self.now):
                    self.plan(at, "to_relay", effect.message)


TEXTS = ["a", "Hello ", "\n\n", " ", "你好", "🦞", "", "\ud83e", "\udd9e", "x" * 30]
PIECES: st.SearchStrategy[list[Piece]] = st.lists(
    st.sampled_from([*TEXTS, *PARTS[::2]]), max_size=40
)
BREAKS = st.lists(st.floats(0.0, 4.0), max_size=5)


def parts_of(pieces: list[Piece]) -> list[Part]:
    """What a device should be given beside the text."""
    return [piece for piece in pieces if isinstance(piece, Part)]


def expected(pieces: list[Piece]) -> str:
    """What a device should read: the text with its halves joined."""
    texts = [piece for piece in pieces if isinstance(piece, str)]
    units = "".join(texts).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace")


@settings(deadline=None, max_examples=200)
@given(
    pieces=PIECES,
    breaks=BREAKS,
    random=st.randoms(use_true_random=False),
    loss=st.floats(0.0, 0.3),
    credit=st.integers(1, 12),
    forgetful=st.booleans(),
)
def test_a_patient_receiver_always_gets_the_whole_text(
    pieces: list[Piece],
    breaks: list[float],
    random: Random,
    loss: float,
    credit: int,
    forgetful: bool,
) -> None:
    """Whatever is dropped, repeated, reordered or cut, and even if the relay forgets it all."""
    half = PatientHalf(credit, forgetful)
    patient = SenderLimits(give_up_s=1e6, chunk_bytes_max=24)
    weather = Weather(random, drop=loss, duplicate=loss, delay_max_s=0.3)
    conversation = Conversation(StreamSender(credit, patient), half, weather)
    for at in breaks:
        conversation.plan(at, "break")
    settled = conversation.run(pieces)
    assert half.text == expected(pieces)
    assert half.parts == parts_of(pieces)
    assert settled == Settled("completed", len(half.chunks), ())
    assert half.end is not None
    assert half.end.content_hash == content_hash(half.text)


@settings(deadline=None, max_examples=200)
@given(
    pieces=PIECES,
    breaks=BREAKS,
    random=st.randoms(use_true_random=False),
    loss=st.floats(0.0, 0.3),
    credit=st.integers(1, 12),
)
def test_sender_and_receiver_agree_on_the_outcome(
    pieces: list[Piece], breaks: list[float], random: Random, loss: float, credit: int
) -> None:
    """Completed means the whole text; anything else names exactly what the relay lacks."""
    half = RelayHalf(credit)
    weather = Weather(random, drop=loss, duplicate=loss, delay_max_s=0.1)
    conversation = Conversation(StreamSender(credit), half, weather)
    for at in breaks:
        conversation.plan(at, "break")
    settled = conversation.run(pieces)
    if settled.outcome == "lost":
        assert conversation.now >= SenderLimits().give_up_s, "given up too early"
        return  # whatever the relay said of it in that time was dropped
    state = half.state()
    assert state == Closed(settled.outcome, settled.total_chunks, settled.missing)
    if settled.outcome == "completed":
        assert half.text == expected(pieces)
        assert half.parts == parts_of(pieces)
        assert settled.missing == ()
    else:
        # Without a loss only the end itself can have been dropped until the relay gave up.
        assert settled.missing or settled.outcome == "idle"


@settings(deadline=None, max_examples=100)
@given(
    pieces=PIECES,
    breaks=BREAKS,
    random=st.randoms(use_true_random=False),
    credit=st.integers(1, 12),
)
def test_with_tcp_between_them_every_answer_is_completed(
    pieces: list[Piece], breaks: list[float], random: Random, credit: int
) -> None:
    """Frames that are neither dropped nor repeated, only cut off, lose nothing at all."""
    half = RelayHalf(credit)
    weather = Weather(random, drop=0.0, duplicate=0.0, delay_max_s=0.1)
    conversation = Conversation(StreamSender(credit), half, weather)
    for at in breaks:
        conversation.plan(at, "break")
    settled = conversation.run(pieces)
    assert settled.outcome == "completed"
    assert half.text == expected(pieces)
    assert half.parts == parts_of(pieces)
