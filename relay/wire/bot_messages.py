"""The messages between a bot and the relay, as values. Specification: docs/protocol.md.

`Inbound` is what a bot says, `Outbound` what the relay says. `relay.wire.bot` turns them into JSON
and back on the relay's side, `relay.wire.bot_client` on the bot's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Started:
    """2.0.x only: `stream_start` names the bot's own key for the question that it answers next."""

    bot_stream_key: str


@dataclass(frozen=True, slots=True)
class Resume:
    """`stream_resume`: go on with a stream that the relay does not list."""

    stream_id: str
    voucher: str
    """`resume` of its command."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Action `ping`: answered by `Pong`."""


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Action `status`: answered by `StatusReply`."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Action `log`: echoed to the sender as `LogEcho`."""

    level: str
    text: JsonValue


@dataclass(frozen=True, slots=True)
class ExecuteCommand:
    """Action `execute_command`: answered by `CommandReceived`."""

    command: JsonValue


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Action `command_result`: taken note of, not answered."""


@dataclass(frozen=True, slots=True)
class LegacyResponse:
    """Action `response` with both fields: answered by `ResponseReceived`."""

    stream_id: str


@dataclass(frozen=True, slots=True)
class Ignored:
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


@dataclass(frozen=True, slots=True)
class OpenStreamState:
    """A stream that the relay holds for this bot, as stated in `connected`."""

    stream_id: str
    epoch: str
    status: str
    next_sequence: int
    received: Ranges
    credit: int


@dataclass(frozen=True, slots=True)
class Closed:
    """`stream_closed`, and an entry of `connected.streams` for a stream that ended meanwhile."""

    stream_id: str
    outcome: str
    total_chunks: int
    missing: Ranges


@dataclass(frozen=True, slots=True)
class Connected:
    """`connected`. `message` is a greeting for people."""

    bot_id: int
    connection_id: str
    protocol: int
    durability: str
    window: int
    streams: tuple[OpenStreamState | Closed, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
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


@dataclass(frozen=True, slots=True)
class Missing:
    """`missing`: send these ranges again."""

    stream_id: str
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Refused:
    """`refused`. `stream_id` is None where it is not about a stream."""

    stream_id: str | None
    sequence: int | None
    code: RefusalCode
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """`cancel_command`."""

    stream_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pong:
    """`pong`."""


@dataclass(frozen=True, slots=True)
class StatusReply:
    """`status_response`. `uptime_s` is a float number of seconds."""

    status: str
    online: bool
    active_sessions: int
    total_sessions: int
    uptime_s: float


@dataclass(frozen=True, slots=True)
class LogEcho:
    """`log`, echoed to its sender as the reference does."""

    level: str
    text: JsonValue


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """`command_received`."""

    command: JsonValue


@dataclass(frozen=True, slots=True)
class ResponseReceived:
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
