"""Bot and relay back to back on virtual time, over a link with weather. Everything is seeded.

`ReliableWorld` runs the sender of the SDK against the receiver; `LegacyWorld` a scripted bot
that sends everything once and hears nothing. What came of it is judged by checkers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from relay.protocol.events import (
    Abort,
    Ack,
    BotBack,
    BotLost,
    Chunk,
    Effect,
    End,
    Finish,
    Message,
    Nack,
    Part,
    Refuse,
    Summary,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.receiver import StreamReceiver
from relay.protocol.sender import StreamSender
from relay.protocol.sending import Closed, Feedback, SendEffect, Settled, Stored, Transmit
from tests.simulation.checkers import Evidence
from tests.support.core import PARTS, Performer, summary_of

PIECES = ("你好", "🦞", " ", "\n\n", "ok ", "今天天气", "a", "🎉🎉", "\u3000", "a")
PART_EVERY = 8
"""How often a piece of an answer carries a part: one of so many."""
EVENTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Weather:
    """What the link does to each frame, and how often the world breaks."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.0
    """Each frame is late by a random time up to this: they overtake each other."""
    breaks: int = 0
    """How often the connection breaks during the answer."""
    takeovers: int = 0
    """How often another node takes over."""


def any_weather(random: Random) -> Weather:
    """Mostly mild, now and then a storm."""
    return Weather(
        drop=random.choice((0.0, 0.0, 0.05, 0.3)),
        duplicate=random.choice((0.0, 0.1, 0.3)),
        delay_s=random.choice((0.0, 0.02, 0.3)),
        breaks=random.choice((0, 0, 1, 3)),
        takeovers=random.choice((0, 0, 1, 3)),
    )


def any_limits(random: Random) -> Limits:
    """The product's, or so small that each of them is met."""
    if random.random() < 0.5:
        return Limits()
    return Limits(
        window=random.choice((4, 16)),
        held_bytes_max=random.choice((4, 8)) * CHUNK_COST_BYTES,
        credit=random.choice((1, 4, 8)),
        gap_s=random.choice((0.3, 8.0)),
        bot_grace_s=random.choice((0.2, 8.0)),
    )


class World:
    """Virtual time, the link, and the receiver with its log."""

    def __init__(
        self,
        seed: int,
        weather: Weather | None,
        receiver_type: type[StreamReceiver],
        *,
        can_resend: bool,
    ) -> None:
        self.random = Random(seed)
        self.weather = weather or any_weather(self.random)
        limits = any_limits(self.random)
        self.now = 0.0
        self.texts: list[str] = []
        self.parts: dict[int, Part] = {}
        self.relay = Performer(limits=limits, can_resend=can_resend, receiver_type=receiver_type)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._connection = 1

    @property
    def evidence(self) -> Evidence:
        """What the checkers judge."""
        remembers = self.weather.takeovers == 0
        return Evidence(self.texts, self.relay.steps, self.relay.limits, remembers, self.parts)

    def any_part(self) -> Part | None:
        """What the next chunk carries, now and then; noted under its sequence."""
        if self.random.randrange(PART_EVERY):
            return None
        part = self.parts[len(self.texts)] = self.random.choice(PARTS)
        return part

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something later; what is due at the same time happens in the order of planning."""
        self._count += 1
        heappush(self._events, (when, self._count, action))

    def carry(self, deliver: Callable[[], None]) -> None:
        """Put a frame on the link. A connection takes what it carries down with it."""
        connection = self._connection
        copies = 0 if self.random.random() < self.weather.drop else 1
        copies += self.random.random() < self.weather.duplicate

        def arrive() -> None:
            if self._connection == connection:
                deliver()

        for _ in range(copies):
            self.at(self.now + 0.001 + self.random.random() * self.weather.delay_s, arrive)

    def run(self) -> None:
        """Until nothing is left to happen."""
        for _ in range(EVENTS_MAX):
            due = [self._events[0][0]] if self._events else []
            due += [timer for timer in self.timers() if timer is not None]
            if not due:
                return
            self.now = max(self.now, min(due))
            if self._events and self._events[0][0] <= self.now:
                heappop(self._events)[2]()
            else:
                self.fire()
        raise AssertionError(f"still busy after {EVENTS_MAX} events, at {self.now}")

    def timers(self) -> list[float | None]:
        """When somebody wants to be woken."""
        return [self.relay.receiver.next_deadline()]

    def fire(self) -> None:
        """Wake whoever is due."""
        self.relay.advance(self.now)

    def plan_takeovers(self, until: float) -> None:
        """At random moments of the answer."""
        for _ in range(self.weather.takeovers):
            self.at(self.random.uniform(0.0, until), self.relay.take_over)


class ReliableWorld(World):
    """The SDK's sender, which resends, against the receiver."""

    def __init__(
        self,
        seed: int,
        weather: Weather | None = None,
        receiver_type: type[StreamReceiver] = StreamReceiver,
    ) -> None:
        super().__init__(seed, weather, receiver_type, can_resend=True)
        self.sender = StreamSender(self.relay.receiver.credit)
        self.settled: Settled | None = None
        self.connected = True
        when = 0.0
        for _ in range(self.random.randrange(40)):
            when += self.random.choice((0.0, 0.001, 0.05))
            part = self.any_part()
            text = self.random.choice(PIECES) if part is None else ""
            self.texts.append(text)
            self.at(when, lambda text=text, part=part: self._write(text, part))  # type: ignore[misc]
        self.at(when, lambda: self._sent(self.sender.end(self.now)))
        for _ in range(self.weather.breaks):
            self.at(self.random.uniform(0.0, when + 0.5), self._break)
        self.plan_takeovers(when + 0.5)

    def _write(self, text: str, part: Part | None) -> None:
        if part is None:
            self._sent(self.sender.write(text, self.now))
        else:
            self._sent(self.sender.write_part(part, self.now))

    def timers(self) -> list[float | None]:
        """The sender's, too."""
        return [*super().timers(), self.sender.next_deadline()]

    def fire(self) -> None:
        """The relay's timers, then the bot's."""
        self._answered(self.relay.advance(self.now))
        self._sent(self.sender.handle_timer(self.now))

    def _sent(self, effects: list[SendEffect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(message):
                    self.carry(lambda message=message: self._arrive(message))  # type: ignore[misc]
                case Settled():
                    assert self.settled is None
                    self.settled = effect
                case _:
                    pass

    def _arrive(self, message: Chunk | End | Abort) -> None:
        was_finished = self.relay.receiver.finished
        self._answered(self.relay.receive(message, self.now))
        if was_finished and isinstance(message, End):
            self._close()

    def _answered(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ack():
                    self._tell(self._stored())
                case Nack() | Refuse():
                    self._tell(effect)
                case Finish():
                    self._close()
                case _:
                    pass

    def _stored(self) -> Stored:
        receiver = self.relay.receiver
        return Stored(receiver.next_sequence, receiver.received, receiver.credit)

    def _close(self) -> None:
        report = self.relay.receiver.report()
        self._tell(Closed(report.outcome, report.total_chunks, report.missing))

    def _tell(self, feedback: Feedback) -> None:
        self.carry(lambda: self._sent(self.sender.receive(feedback, self.now)))

    def _break(self) -> None:
        if not self.connected:
            return
        self.connected = False
        self._connection += 1
        self._answered(self.relay.receive(BotLost(), self.now))
        self._sent(self.sender.connection_lost(self.now))
        self.at(self.now + self.random.choice((0.01, 0.4, 3.0)), self._reconnect)

    def _reconnect(self) -> None:
        self.connected = True
        self._connection += 1
        if self.relay.receiver.finished:
            self._close()
            return
        stored = self._stored()
        self._answered(self.relay.receive(BotBack(can_resend=True), self.now))
        restored = self.sender.connection_restored(
            stored.next_sequence, stored.received, stored.credit, self.now
        )
        self._sent(restored)


class LegacyWorld(World):
    """A bot that numbers its chunks, sends each once, and says at the end what it said."""

    def __init__(
        self,
        seed: int,
        weather: Weather | None = None,
        receiver_type: type[StreamReceiver] = StreamReceiver,
    ) -> None:
        super().__init__(seed, weather, receiver_type, can_resend=False)
        when = 0.0
        pieces = [*PIECES, "x\ud83e", "\udd9ey", ""]
        for sequence in range(self.random.randrange(40)):
            when += self.random.choice((0.0, 0.001, 0.05))
            part = self.any_part()
            text = self.random.choice(pieces if part is None else ("", "", "ok "))
            self.texts.append(text)
            self._plan(when, Chunk(text, sequence, part))
        for _ in range(self.random.choice((1, 1, 2))):
            when += 0.001
            self._plan(when, End())
        self.summary = self._any_summary()
        if self.summary is not None:
            self._plan(when + self.random.choice((-1.0, 0.001, 0.5, 5.0)), self.summary)
        self.plan_takeovers(when + 1.0)

    def _any_summary(self) -> Summary | None:
        true = summary_of(self.texts)
        kind = self.random.choice(("none", "true", "true", "hash", "count", "text"))
        match kind:
            case "none":
                return None
            case "hash":
                return Summary(true.total_content, true.total_chunks, "0")
            case "count":
                more = self.random.choice((-1, 1, 50))
                return Summary(true.total_content, true.total_chunks + more, true.content_hash)
            case "text" if self.texts and self.texts[0]:
                # A consistent lie can only be known by what has arrived: its beginning surely has.
                first = Chunk(self.texts[0], 0, self.parts.get(0))
                self.at(0.0, lambda: self._arrive(first))
                return summary_of(["forged", *self.texts[1:]])
            case _:
                return true

    def _plan(self, when: float, message: Message) -> None:
        def send() -> None:
            self.carry(lambda: self._arrive(message))

        self.at(max(when, 0.0), send)

    def _arrive(self, message: Message) -> None:
        self.relay.receive(message, self.now)
