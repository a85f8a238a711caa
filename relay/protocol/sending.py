"""The vocabulary of the bot's half, beside `Nack` and `Refuse` of events.py.

Feedback                                    SendEffect
----------------------------------------    ---------------------------------------
Stored Nack Refuse Closed   (relay)         Transmit   put it on the wire
                                            Writable   wake whoever waits to write
                                            Settled    the outcome is known
"""

from __future__ import annotations

from msgspec import Struct

from relay.protocol.events import Abort, Chunk, End, Nack, Refuse
from relay.protocol.limits import CHUNK_BYTES_MAX
from relay.protocol.rangeset import Ranges


class SenderLimits(Struct, frozen=True):
    """A sender's times and sizes."""

    ack_timeout_s: float = 2.0
    """How long `stream_end` waits for acknowledgements, and the first resend delay."""
    resend_max_s: float = 15.0
    """What the resend delay doubles up to."""
    give_up_s: float = 60.0
    """When an unanswered end, or a connection that stays away, settles as lost. Longer than any
    grace that a relay gives a bot."""
    chunk_bytes_max: int = CHUNK_BYTES_MAX // 2
    """Largest chunk in bytes of UTF-8, at least 4. Longer text is split. Half of what the relay
    takes, because JSON inside of JSON makes seven bytes of a control character and a frame holds
    65,536."""


# --- feedback ---------------------------------------------------------------------------


class Stored(Struct, frozen=True):
    """The relay's `ack`: everything below `next_sequence` is stored, and each of `received`.

    `received` are inclusive ranges above it; sequences below `next_sequence + credit` may be
    sent.
    """

    next_sequence: int
    received: Ranges
    credit: int


class Closed(Struct, frozen=True):
    """The relay's `stream_closed`. `outcome` is one of `Outcome`, or a later relay's word."""

    outcome: str
    total_chunks: int
    missing: Ranges


Feedback = Stored | Nack | Refuse | Closed


# --- effects ----------------------------------------------------------------------------


class Transmit(Struct, frozen=True):
    """Put this message of the stream on the wire."""

    message: Chunk | End | Abort


class Writable(Struct, frozen=True):
    """`writable` has become true: whoever waits to write may go on."""


class Settled(Struct, frozen=True):
    """The stream is over and the sender has forgotten its text. Returned exactly once."""

    outcome: str
    total_chunks: int
    missing: Ranges


SendEffect = Transmit | Writable | Settled
