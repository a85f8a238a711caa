"""The receiver as a machine that is driven in any order, and looked at after every step.

hypothesis chooses what the bot says, what the link and the node do to it, and how time passes;
where something breaks it finds the shortest way there. The other properties of the receiver are in
test_receiver.py, whole scenarios in tests/simulation.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.protocol.events import (
    Ack,
    BotBack,
    BotLost,
    Chunk,
    EntryKind,
    Part,
    RefusalCode,
    Refuse,
    Stop,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.rangeset import expand
from relay.protocol.status import Outcome, Status
from tests.simulation.checkers import Evidence, check
from tests.support.core import PARTS, Performer, end_of, summary_of

TEXTS = ("one ", "two ", "", "你好", "🦞", "five ", "six")
SMALL = Limits(
    window=5, held_bytes_max=4 * CHUNK_COST_BYTES, gap_s=1.0, bot_grace_s=0.5, idle_s=4.0
)
FAR = 40
CONFLICTS = tuple(Chunk("CONFLICT", sequence) for sequence in range(len(TEXTS)))


class ReceiverMachine(RuleBasedStateMachine):
    """One stream, the bot's side of it, and a model of what was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        self.parts: dict[int, Part] = {2: PARTS[0]}
        self.performer = Performer()
        self.accepted: set[int] = set()
        self.status = Status.PENDING
        self.takeovers = 0

    @initialize(can_resend=st.booleans(), limits=st.sampled_from((Limits(), SMALL)))
    def open(self, can_resend: bool, limits: Limits) -> None:
        """A stream is opened for a bot of either protocol."""
        self.performer = Performer(limits=limits, can_resend=can_resend)

    # --- what may happen ------------------------------------------------------------------

    @rule(sequence=st.integers(0, len(TEXTS) - 1))
    def chunk(self, sequence: int) -> None:
        """A chunk comes: in its order, early, late, or once more."""
        known = sequence in self.accepted
        message = Chunk(TEXTS[sequence], sequence, self.parts.get(sequence))
        effects = self.performer.receive(message, self.now)
        (answer,) = (effect for effect in effects if isinstance(effect, Ack | Refuse))
        if isinstance(answer, Ack):
            assert answer.sequence == sequence
            self.accepted.add(sequence)
        else:
            assert not known, "what was acknowledged is refused when it comes again"
            assert answer.code is not RefusalCode.CONFLICT

    @rule(sequence=st.integers(0, len(TEXTS) - 1))
    def conflict(self, sequence: int) -> None:
        """Other content under a number that is taken changes nothing."""
        if sequence not in self.accepted:
            return
        before = len(self.performer.log)
        (answer,) = self.performer.receive(CONFLICTS[sequence], self.now)
        assert isinstance(answer, Refuse)
        assert answer.code is RefusalCode.CONFLICT
        assert len(self.performer.log) == before

    @rule(stated=st.booleans())
    def end(self, stated: bool) -> None:
        """The bot ends, once or again, with its count or without."""
        message = end_of(TEXTS)
        if not stated:
            message = type(message)()
        self.performer.receive(message, self.now)

    @rule()
    def summary(self) -> None:
        """Its account of the whole answer comes."""
        self.performer.receive(summary_of(TEXTS), self.now)

    @rule()
    def lose(self) -> None:
        """The connection breaks."""
        self.performer.receive(BotLost(), self.now)

    @rule()
    def come_back(self) -> None:
        """And stands again."""
        self.performer.receive(BotBack(self.performer.can_resend), self.now)

    @rule(seconds=st.sampled_from((0.01, 0.2, 0.6, 1.1, 2.1, 5.0)))
    def wait(self, seconds: float) -> None:
        """Time passes, with every timer in its time."""
        self.now += seconds
        self.performer.advance(self.now)

    @rule()
    def take_over(self) -> None:
        """Another node rebuilds the receiver from the log and the hold."""
        deadline = self.performer.receiver.next_deadline()
        ended = any(entry.kind is EntryKind.ENDING for entry in self.performer.log)
        self.performer.take_over()
        self.takeovers += 1
        # What came too late is in no log: only the owner before knew it again.
        self.accepted &= {*self.performer.delivered, *self.performer.held}
        self.status = self.performer.receiver.status
        if ended and deadline is not None and not self.performer.receiver.finished:
            again = self.performer.receiver.next_deadline()
            assert again is not None
            barrier = self.performer.limits.barrier_s
            ending = next(e for e in self.performer.log if e.kind is EntryKind.ENDING)
            assert again <= ending.at + barrier, "a takeover has postponed the end"

    @rule()
    def stop(self) -> None:
        """The relay ends the stream itself."""
        self.performer.receive(Stop(Outcome.CANCELLED, "the device went away"), self.now)

    # --- what holds after each -------------------------------------------------------------

    @invariant()
    def the_log_and_the_hold_are_what_was_accepted(self) -> None:
        """Nothing that was acknowledged in time is anywhere else, and nothing is in both."""
        stored, held = set(self.performer.delivered), set(self.performer.held)
        assert not stored & held
        assert stored | held <= self.accepted
        receiver = self.performer.receiver
        early = set(expand(receiver.received, FAR))
        assert early == {sequence for sequence in held if sequence >= receiver.next_sequence}
        assert len(held) <= self.performer.limits.window

    @invariant()
    def the_status_only_climbs(self) -> None:
        """From step to step, under one owner."""
        status = self.performer.receiver.status
        assert status >= self.status
        self.status = status

    def teardown(self) -> None:
        """Let it come to its end, and judge the whole run."""
        self.performer.finish()
        assert self.performer.receiver.finished
        limits = self.performer.limits
        # The checkers know a bot that never contradicts itself; `conflict` has judged those.
        steps = [step for step in self.performer.steps if step.message not in CONFLICTS]
        remembers = self.takeovers == 0
        check(Evidence(TEXTS, steps, limits, remembers, self.parts))


TestReceiverMachine = ReceiverMachine.TestCase
TestReceiverMachine.settings = settings(max_examples=60, stateful_step_count=25)
