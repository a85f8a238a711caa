r"""The bot's half of a stream: what to send, what to send again, and when it is over.

Theory of operation
===================

A sender numbers the chunks of one answer 0, 1, 2 ... and keeps all of them until the
outcome of its `stream_end` is known, acknowledged or not: the relay may lose its memory,
and only the bot can then supply the text again. Three marks move over the sequences:

    0 ........ next_sequence ........ sent ........ written
      stored by the relay   in flight      waits for credit

*Credit.* The relay takes sequences below `next_sequence + credit`. What is written beyond
that waits here; a caller that respects `writable` never has more than one write waiting.

*Resending.* Whatever is in flight is sent again when the relay names it as missing, when a
connection is restored (only what the relay says it has not), and when nothing was heard of
it for a while (ledger.py). Every resend is a no-op at a receiver that has the chunk
already, so doubt is always resolved by sending.

*The end* is held until every chunk is stored, or `ack_timeout_s` after both `end()` and the
last chunk's first transmission; never while a chunk waits for credit, because an end that
overtakes its own chunks can only lose them. It is then repeated until the relay has closed
the stream. `abort()` is not held: nobody waits for the rest of a failed answer.

*Giving up.* `give_up_s` after `end()`, `abort()` or the loss of the connection, whichever
came first, the stream settles as lost. A restored connection starts that time anew.

    writing --end()--> holding --all stored, or time--> ending --closed--> settled
        \----------------------abort()--------------------^

Like the whole package it does nothing itself: each call returns the effects that the caller
performs in list order, and the time is an argument (`now`, seconds of any steady clock).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from relay.protocol.events import Abort, Chunk, End, Nack, Part, RefusalCode, Refuse
from relay.protocol.ledger import Ledger, members
from relay.protocol.limits import SHOWN_CHARS_MAX
from relay.protocol.rangeset import Ranges
from relay.protocol.sending import (
    Closed,
    Feedback,
    SendEffect,
    SenderLimits,
    Settled,
    Stored,
    Transmit,
    Writable,
)
from relay.protocol.split import split_content
from relay.protocol.status import Outcome
from relay.protocol.surrogates import join_halves
from relay.protocol.texthash import content_hash

_NOT_NOW = frozenset({RefusalCode.OUT_OF_WINDOW, RefusalCode.HOLD_FULL})
"""Refusals that end as soon as the missing chunks before them have arrived."""


class StreamSender:
    """Sends one answer so that it arrives whole, or says what is missing."""

    def __init__(self, credit: int, limits: SenderLimits | None = None) -> None:
        """Start with the `credit` that the stream's `execute_command` granted."""
        self._limits = limits or SenderLimits()
        self._ledger = Ledger(
            resend_s=self._limits.ack_timeout_s, resend_max_s=self._limits.resend_max_s
        )
        self._credit = credit
        self._connected = True
        self._chunks: list[Chunk] = []
        self._half = ""  # a high surrogate that waits for its low one
        self._sent = 0
        self._deferred: set[int] = set()  # refused until the gap before them is closed
        self._full = False  # the relay takes no more on this connection
        self._final: End | Abort | None = None
        self._hold_until = 0.0
        self._final_due: float | None = None  # None until the final message was sent
        self._final_s = self._limits.ack_timeout_s
        self._give_up_at: float | None = None
        self._settled = False

    # --- what is known ------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether a chunk that is written now lies within the relay's credit."""
        return self._settled or len(self._chunks) < self._ledger.next + self._credit

    @property
    def ended(self) -> bool:
        """Whether `end()` or `abort()` was called."""
        return self._final is not None

    @property
    def settled(self) -> bool:
        """Whether the outcome is known. Nothing has an effect any more."""
        return self._settled

    # --- the caller's side --------------------------------------------------------------

    def write(self, content: str, now: float) -> list[SendEffect]:
        """Add text. Empty text is nothing; text above the chunk limit becomes several chunks.

        What goes out is always well-formed Unicode: a pair of surrogates that comes in two
        writes is joined, and a half without its partner becomes U+FFFD.

        Raises `RuntimeError` after `end()` or `abort()`.
        """
        self._check_open()
        if self._settled:
            return []
        text, self._half = join_halves(self._half, content)
        for piece in split_content(text, self._limits.chunk_bytes_max):
            self._add(piece)
        return self._transmit_new(now)

    def write_part(self, part: Part, now: float) -> list[SendEffect]:
        """Add a tool call or suggestions, as a chunk of its own behind all text written so far.

        Half of a surrogate pair goes on waiting for its partner. Raises `ValueError` where the
        part is larger than a chunk, because it cannot be split, and `RuntimeError` after
        `end()` or `abort()`.
        """
        self._check_open()
        bytes_max = self._limits.chunk_bytes_max
        if len(part.body.encode()) > bytes_max:
            raise ValueError(f"a {part.kind} is at most {bytes_max} bytes of UTF-8 as JSON")
        if self._settled:
            return []
        self._add("", part)
        return self._transmit_new(now)

    def end(self, now: float) -> list[SendEffect]:
        """All is written. Again is a no-op, as it is after `abort()`."""
        if self._final is not None or self._settled:
            return []
        if self._half:
            self._add("\ufffd")
        text = "".join(chunk.content for chunk in self._chunks)
        self._final = End(len(self._chunks), content_hash(text))
        self._hold_until = now + self._limits.ack_timeout_s
        self._give_up_from(now)
        return [*self._transmit_new(now), *self._transmit_final(now)]

    def abort(self, error: str, now: float, shown: str = "") -> list[SendEffect]:
        """The answer failed: say so at once. Chunks that wait for credit are not sent.

        `error` is for the relay's operators. `shown` is what the device shows, at most
        `SHOWN_CHARS_MAX` of it; without one the relay has a text of its own.
        """
        if self._settled or isinstance(self._final, Abort):
            return []
        self._final = Abort(error, shown[:SHOWN_CHARS_MAX])
        self._final_due = None
        self._give_up_from(now)
        return self._transmit_final(now)

    # --- the relay's side ---------------------------------------------------------------

    def receive(self, feedback: Feedback, now: float) -> list[SendEffect]:
        """Take what the relay said about this stream."""
        if self._settled:
            return []
        match feedback:
            case Stored():
                return self._stored(feedback, now)
            case Nack():
                return self._resend(members(feedback.ranges, self._ledger.next, self._sent), now)
            case Refuse():
                return self._refused(feedback, now)
            case Closed():
                return self._settle(feedback.outcome, feedback.total_chunks, feedback.missing)
            case _:
                assert_never(feedback)

    def connection_lost(self, now: float) -> list[SendEffect]:
        """The connection broke. Until it is restored, writing goes on within the credit."""
        if not self._settled:
            self._connected = False
            self._ledger.disconnected()
            self._give_up_from(now)
        return []

    def connection_restored(
        self, next_sequence: int, received: Ranges, credit: int, now: float
    ) -> list[SendEffect]:
        """A new connection carries the stream and the relay says what it has of it.

        That is the truth even where it is less than was acknowledged before: then the relay
        lost its memory, and the text is sent again from there.
        """
        if self._settled:
            return []
        was_writable = self.writable
        final_was_sent = self._final_due is not None
        self._connected = True
        self._full = False
        self._deferred.clear()
        self._credit = credit
        self._ledger.restored(next_sequence, received, len(self._chunks))
        self._sent = self._ledger.next
        self._final_due = None
        self._final_s = self._limits.ack_timeout_s
        self._hold_until = now + self._limits.ack_timeout_s
        self._give_up_at = None if self._final is None else now + self._limits.give_up_s
        effects = self._transmit_new(now)
        if final_was_sent:
            # "... and its stream_end again where it had sent it" (docs/protocol.md, section 5)
            self._hold_until = now
        return [*effects, *self._transmit_final(now), *self._woken(was_writable=was_writable)]

    def unknown_to_relay(self) -> list[SendEffect]:
        """The relay does not hold this stream (any more): nothing can be delivered."""
        missing = self._ledger.missing(len(self._chunks))
        return self._settle(Outcome.LOST, len(self._chunks), missing)

    # --- time ---------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `handle_timer` has something to do; None while there is nothing to wait for."""
        if self._settled:
            return None
        due = [self._give_up_at]
        if self._connected:
            due.append(self._ledger.deadline())
            if self._final_due is not None:
                due.append(self._final_due)
            elif self._final is not None and not self._waiting:
                due.append(self._hold_until)
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> list[SendEffect]:
        """Do what is due at `now`. Early or needless calls do nothing."""
        if self._settled:
            return []
        if self._give_up_at is not None and now >= self._give_up_at:
            return self.unknown_to_relay()
        if not self._connected:
            return []
        return [*self._resend(self._ledger.overdue(now), now), *self._transmit_final(now)]

    # --- inside -------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._final is not None:
            raise RuntimeError("this answer has ended; nothing can be written to it any more")

    def _add(self, content: str, part: Part | None = None) -> None:
        self._chunks.append(Chunk(content, len(self._chunks), part))

    @property
    def _waiting(self) -> bool:
        """Whether chunks wait for credit. None does in an aborted answer: they are dropped."""
        return self._sent < len(self._chunks) and not isinstance(self._final, Abort)

    def _stored(self, stored: Stored, now: float) -> list[SendEffect]:
        was_writable = self.writable
        if stored.next_sequence >= self._ledger.next:
            # One that was overtaken by a newer one has nothing to say about the credit.
            self._credit = stored.credit
        effects: list[SendEffect] = []
        if self._ledger.stored(stored.next_sequence, stored.received, len(self._chunks)):
            deferred, self._deferred = sorted(self._deferred), set()
            effects += self._resend(deferred, now)
        self._sent = max(self._sent, self._ledger.next)
        effects += self._transmit_new(now)
        effects += self._transmit_final(now)
        return [*effects, *self._woken(was_writable=was_writable)]

    def _refused(self, refusal: Refuse, now: float) -> list[SendEffect]:
        if refusal.code is RefusalCode.UNKNOWN_STREAM:
            return self.unknown_to_relay()
        sequence = refusal.sequence
        if sequence is None or not self._ledger.is_in_flight(sequence):
            return []
        if refusal.code in _NOT_NOW:
            self._deferred.add(sequence)
            return []
        if refusal.code is RefusalCode.STREAM_FULL:
            # Nothing more is taken: the end says how long the answer was, the relay what it lacks.
            self._full = True
        # `conflict` says that the relay has the sequence, any other code that it never takes it.
        self._ledger.refused(sequence)
        return [*self._transmit_new(now), *self._transmit_final(now)]

    def _transmit_new(self, now: float) -> list[SendEffect]:
        effects: list[SendEffect] = []
        if not self._connected or isinstance(self._final, Abort):
            return effects
        if self._full:
            self._sent = len(self._chunks)
        limit = min(len(self._chunks), self._ledger.next + self._credit)
        while self._sent < limit:
            if not self._ledger.is_stored(self._sent):
                self._ledger.sent(self._sent, now)
                effects.append(Transmit(self._chunks[self._sent]))
            self._sent += 1
        if effects:
            self._hold_until = now + self._limits.ack_timeout_s
        return effects

    def _resend(self, sequences: Iterable[int], now: float) -> list[SendEffect]:
        effects: list[SendEffect] = []
        for sequence in sequences:
            if self._ledger.is_in_flight(sequence):
                self._ledger.sent(sequence, now)
                effects.append(Transmit(self._chunks[sequence]))
        return effects

    def _transmit_final(self, now: float) -> list[SendEffect]:
        """Send the end (or the error) where it is time to, for the first time or again."""
        if self._final is None or not self._connected:
            return []
        if self._final_due is None:
            held = isinstance(self._final, End) and not self._ledger.settled
            if self._waiting or (held and now < self._hold_until):
                return []
        elif now < self._final_due:
            return []
        self._final_due = now + self._final_s
        self._final_s = min(2 * self._final_s, self._limits.resend_max_s)
        return [Transmit(self._final)]

    def _woken(self, *, was_writable: bool) -> list[SendEffect]:
        return [Writable()] if self.writable and not was_writable else []

    def _give_up_from(self, now: float) -> None:
        if self._give_up_at is None:
            self._give_up_at = now + self._limits.give_up_s

    def _settle(self, outcome: str, total_chunks: int, missing: Ranges) -> list[SendEffect]:
        if self._settled:
            return []
        was_writable = self.writable
        self._settled = True
        self._chunks.clear()
        self._ledger.disconnected()
        return [Settled(outcome, total_chunks, missing), *self._woken(was_writable=was_writable)]
