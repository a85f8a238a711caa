"""The messages between a bot and the relay, as values. Specification: docs/protocol.md.

`Inbound` is what a bot says, `Outbound` what the relay says. `relay.wire.bot` turns them into JSON
and back on the relay's side, `relay.wire.bot_client` on the bot's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.wire.jsontext import JsonValue

RELIABLE: Final = 2
"""The first protocol with cumulative ACKs, credit, resending and stated ends."""

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of sequences, ascending, not touching."""

# --- bot to relay -----------------------------------------------------------------------


class StreamMessage(Struct, frozen=True, gc=False):
    """A message of one stream. `stream_id` is None where the bot named none (2.0.x)."""

    stream_id: str | None
    message: Chunk | End | Summary | Abort
    bot_stream_key: str | None = None
    """2.0.x only: the bot's own `stream_id`, which tells its streams apart."""


class Started(Struct, frozen=True):
    """2.0.x only: `stream_start` names the bot's own key for the question that it answers next."""

    bot_stream_key: str


class Resume(Struct, frozen=True):
    """`stream_resume`: go on with a stream that the relay does not list."""

    stream_id: str
    voucher: str
    """`resume` of its command."""


class Ping(Struct, frozen=True):
    """Action `ping`: answered by `Pong`."""


class StatusQuery(Struct, frozen=True):
    """Action `status`: answered by `StatusReply`."""


class LogLine(Struct, frozen=True):
    """Action `log`: echoed to the sender as `LogEcho`."""

    level: str
    text: JsonValue


class ExecuteCommand(Struct, frozen=True):
    """Action `execute_command`: answered by `CommandReceived`."""

    command: JsonValue


class CommandResult(Struct, frozen=True):
    """Action `command_result`: taken note of, not answered."""


class LegacyResponse(Struct, frozen=True):
    """Action `response` with both fields: answered by `ResponseReceived`."""

    stream_id: str


class Ignored(Struct, frozen=True):
    """Understood, and without effect: `pong`, an incomplete `response`."""


Inbound = (
    StreamMessage
    | Resume
    | Started
    | Ping
    | StatusQuery
    | LogLine
    | ExecuteCommand
    | CommandResult
    | LegacyResponse
    | Ignored
)

# --- relay to bot -----------------------------------------------------------------------


class OpenStreamState(Struct, frozen=True):
    """A stream that the relay holds for this bot, as stated in `connected`."""

    stream_id: str
    epoch: str
    status: str
    next_sequence: int
    received: Ranges
    credit: int


class Closed(Struct, frozen=True):
    """`stream_closed`, and an entry of `connected.streams` for a stream that ended meanwhile."""

    stream_id: str
    outcome: str
    total_chunks: int
    missing: Ranges


class Connected(Struct, frozen=True):
    """`connected`. `message` is a greeting for people."""

    bot_id: int
    connection_id: str
    protocol: int
    durability: str
    window: int
    streams: tuple[OpenStreamState | Closed, ...] = ()


class Command(Struct, frozen=True):
    """`execute_command`, complete but for what the protocol version decides (credit)."""

    stream_id: str
    payload: Mapping[str, JsonValue]
    credit: int
    resume: str = ""
    """What proves to a relay that lost its memory that this stream was opened."""


class Acked(Struct, frozen=True, gc=False):
    """What is stored of one stream.

    Protocol 2: one cumulative `ack` from `next_sequence`, `received`, `credit`.
    Protocol 1: one `chunk_received` that echoes `sequence`, the number (or None) that the bot sent.
    """

    stream_id: str
    sequence: int | None
    next_sequence: int
    received: Ranges
    credit: int


class Missing(Struct, frozen=True):
    """`missing`: send these ranges again."""

    stream_id: str
    ranges: Ranges


class Refused(Struct, frozen=True):
    """`refused`. `stream_id` is None where it is not about a stream."""

    stream_id: str | None
    sequence: int | None
    code: RefusalCode
    message: str
    retry_after_s: float | None = None


class Cancel(Struct, frozen=True):
    """`cancel_command`."""

    stream_id: str
    reason: str


class Pong(Struct, frozen=True):
    """`pong`."""


class StatusReply(Struct, frozen=True):
    """`status_response`. `uptime_s` is a float number of seconds."""

    status: str
    online: bool
    active_sessions: int
    total_sessions: int
    uptime_s: float


class LogEcho(Struct, frozen=True):
    """`log`, echoed to its sender as the reference does."""

    level: str
    text: JsonValue


class CommandReceived(Struct, frozen=True):
    """`command_received`."""

    command: JsonValue


class ResponseReceived(Struct, frozen=True):
    """`response_received`."""

    stream_id: str


Outbound = (
    Connected
    | Command
    | Acked
    | Missing
    | Refused
    | Closed
    | Cancel
    | Pong
    | StatusReply
    | LogEcho
    | CommandReceived
    | ResponseReceived
)
