"""BotChannel, the relay's half: payloads of bots into messages, messages for bots into payloads.

Specification: docs/protocol.md. `decode(payload)` turns the inner object of a `message` command
into one of the `Inbound` types. `encode(message, protocol)` turns one of the `Outbound` types into
the object that goes into `{"identifier": ..., "message": ...}`, or None where that protocol has no
such message. The types themselves are in `relay.wire.bot_messages` and may be imported from here.
"""

from __future__ import annotations

from relay.wire.bot_decode import PayloadRefused, decode, verb
from relay.wire.bot_encode import encode, encode_ranges
from relay.wire.bot_messages import (
    RELIABLE,
    Acked,
    Cancel,
    Closed,
    Command,
    CommandReceived,
    CommandResult,
    Connected,
    ExecuteCommand,
    Ignored,
    Inbound,
    LegacyResponse,
    LogEcho,
    LogLine,
    Missing,
    OpenStreamState,
    Outbound,
    Ping,
    Pong,
    Ranges,
    Refused,
    ResponseReceived,
    Resume,
    Started,
    StatusQuery,
    StatusReply,
    StreamMessage,
)

__all__ = [
    "RELIABLE",
    "Acked",
    "Cancel",
    "Closed",
    "Command",
    "CommandReceived",
    "CommandResult",
    "Connected",
    "ExecuteCommand",
    "Ignored",
    "Inbound",
    "LegacyResponse",
    "LogEcho",
    "LogLine",
    "Missing",
    "OpenStreamState",
    "Outbound",
    "PayloadRefused",
    "Ping",
    "Pong",
    "Ranges",
    "Refused",
    "ResponseReceived",
    "Resume",
    "Started",
    "StatusQuery",
    "StatusReply",
    "StreamMessage",
    "decode",
    "encode",
    "encode_ranges",
    "verb",
]
