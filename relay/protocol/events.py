"""The vocabulary of the protocol core: what comes in, what must be done, what is stored.

Messages go into `StreamReceiver.receive`, effects come out, and the shell performs the
effects in list order. Everything here is a frozen value; nothing here does anything. They are
msgspec structs: to make one takes a tenth of the time that a frozen dataclass of this size takes,
which counts for each chunk, and to define one a fortieth, which counts for each start. Changed
copies are made with `msgspec.structs.replace`: mypy lets that of dataclasses pass, which fails.

    Message                              Effect                          Stored
    -------------------------------      ----------------------------    -----------------
    Chunk End Summary Abort   (bot)      Append Hold     write the log   Entry
    BotLost BotBack           (link)     Ack Nack Refuse answer the bot  HeldChunk
    Overlapped Stop           (node)     Finish Amend    tell the trace  Position
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from relay.protocol.report import LossReport
from relay.protocol.status import Outcome

# --- messages -------------------------------------------------------------------------


class PartKind(StrEnum):
    """What a chunk may carry beside its text."""

    TOOL_CALL = "tool_call"
    """Something that the device is to do, at this place of the answer."""
    FOLLOW_UP = "follow_up"
    """What the user may want to ask next. Shown behind the answer; the newest ones stand."""


class Part(Struct, frozen=True):
    """What is not text in an answer. `relay.wire.parts` makes it; the core only carries it."""

    kind: PartKind
    body: str
    """Compact JSON and well-formed Unicode, checked by the wire."""


class Chunk(Struct, frozen=True, gc=False):
    """One piece of an answer. `sequence` is 0-based, or None from bots that do not number.

    A chunk with a part is a chunk like every other; its content is often empty.
    """

    content: str
    sequence: int | None = None
    part: Part | None = None


class End(Struct, frozen=True):
    """The bot has sent everything. `total_chunks` is stated by protocol 2 only."""

    total_chunks: int | None = None
    content_hash: str | None = None


class Summary(Struct, frozen=True):
    """The bot's own account of the whole answer, before or after its end."""

    total_content: str
    total_chunks: int
    content_hash: str | None = None


class Abort(Struct, frozen=True):
    """The bot failed (`stream_error`). `error` is for operators, `shown` for the device."""

    error: str
    shown: str = ""


class BotLost(Struct, frozen=True):
    """The connection that carries this stream broke."""

    wait_s: float = 0.0
    """How much longer than for its grace the bot is waited for."""


class BotBack(Struct, frozen=True):
    """A connection of the same bot carries this stream again.

    `can_resend` says whether that connection speaks protocol 2 and can be asked for
    missing chunks.
    """

    can_resend: bool


class Overlapped(Struct, frozen=True):
    """Another stream of the same legacy connection runs at the same time.

    Legacy bots count per connection, so from here on neither their sequences nor their
    summaries mean anything for this stream: it is numbered by arrival.
    """


class Stop(Struct, frozen=True):
    """The relay ends the stream itself. `detail` is for the trace, never for the device.

    `shown` is said to the device in place of the text that every outcome has, and `part` goes
    with it: where the relay is asked for something that no bot can answer.
    """

    outcome: Outcome
    detail: str = ""
    shown: str = ""
    part: Part | None = None


Message = Chunk | End | Summary | Abort | BotLost | BotBack | Overlapped | Stop


# --- what is stored -------------------------------------------------------------------


class EntryKind(StrEnum):
    """The kinds of log record."""

    CHUNK = "chunk"
    """A chunk of the bot, in sequence order."""
    REPAIR = "repair"
    """Text that a verified summary supplied for chunks that never arrived."""
    GAP = "gap"
    """Sequences were given up in mid-stream; `content` is what stands in for them."""
    ENDING = "ending"
    """`stream_end` arrived. Not shown; it makes the barrier's deadline survive a takeover."""
    END = "end"
    """The terminal record. Exactly one, and nothing after it."""


class Entry(Struct, frozen=True, gc=False):
    """One record of a stream's log.

    Offsets are 1-based and without holes; they and sequences diverge after a repair.
    `content` is always well-formed Unicode. A chunk that ended with half of a surrogate
    pair leaves that half in `carry`, and the next entry starts with it, so that readers
    only ever see whole characters. In `end` it is no part of the answer, but what the bot
    has the device show about its failure, or what the relay itself says.
    """

    offset: int
    kind: EntryKind
    at: float
    """When it happened (a chunk: when it arrived), in seconds of the relay's clock."""
    content: str = ""
    sequence: int | None = None
    carry: str = ""
    total_chunks: int | None = None
    """In `ending`: n where the bot stated it. In `end`: the final n."""
    outcome: Outcome | None = None
    """In `end` only."""
    part: Part | None = None
    """In `chunk`: what it carries. In `end`: the newest suggestions of the answer, because
    devices show them behind its last word; or what the relay asks of the device."""


class HeldChunk(Struct, frozen=True, gc=False):
    """A chunk that arrived early and waits for the ones before it."""

    sequence: int
    content: str
    at: float
    part: Part | None = None


class Position(Struct, frozen=True, order=True):
    """A place in a log: everything up to and including `offset` has been read.

    The epoch is the log's identity. A relay that lost its memory makes a new log for the
    same stream, and without the epoch offset 17 of the old log would be taken for offset
    17 of the new one: a hole or a repeat that nobody notices.
    """

    epoch: str
    offset: int


# --- effects --------------------------------------------------------------------------


class Append(Struct, frozen=True, gc=False):
    """Write these entries, all or none."""

    entries: tuple[Entry, ...]


class Hold(Struct, frozen=True, gc=False):
    """Store an early chunk beside the log, so that its ACK is true."""

    chunk: HeldChunk


class Ack(Struct, frozen=True, gc=False):
    """Tell the bot that this sequence is stored. None where the bot sent no sequence."""

    sequence: int | None


class Nack(Struct, frozen=True):
    """Ask a protocol-2 bot to send these inclusive ranges again."""

    ranges: tuple[tuple[int, int], ...]


class RefusalCode(StrEnum):
    """Why a chunk or a frame was not taken. docs/protocol.md has the table."""

    MALFORMED_JSON = "malformed_json"
    UNKNOWN_COMMAND = "unknown_command"
    NOT_SUBSCRIBED = "not_subscribed"
    UNKNOWN_ACTION = "unknown_action"
    INVALID_PAYLOAD = "invalid_payload"
    INVALID_SEQUENCE = "invalid_sequence"
    INVALID_CONTENT = "invalid_content"
    CHUNK_TOO_LARGE = "chunk_too_large"
    FRAME_TOO_LARGE = "frame_too_large"
    UNKNOWN_STREAM = "unknown_stream"
    CONFLICT = "conflict"
    OUT_OF_WINDOW = "out_of_window"
    HOLD_FULL = "hold_full"
    STREAM_FULL = "stream_full"
    AFTER_END = "after_end"


class Refuse(Struct, frozen=True):
    """Tell the bot that this was not taken, and why. Nothing already stored is lost by it."""

    code: RefusalCode
    sequence: int | None
    message: str


class Finish(Struct, frozen=True):
    """The `end` entry is written: tell the bot and the trace how it went."""

    report: LossReport


class Amend(Struct, frozen=True):
    """Something true was learned after the end (a late chunk or summary): correct the trace."""

    report: LossReport


Effect = Append | Hold | Ack | Nack | Refuse | Finish | Amend
