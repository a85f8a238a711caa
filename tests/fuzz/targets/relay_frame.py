"""What the SDK reads from a relay, or from what stands in its place: it never raises."""

from __future__ import annotations

from typing import Final

from relay.protocol.events import RefusalCode
from relay.wire import cable, jsontext
from relay.wire.bot import (
    Acked,
    Cancel,
    Closed,
    Command,
    Connected,
    Missing,
    OpenStreamState,
    Outbound,
    Refused,
    encode,
)
from relay.wire.bot_client import decode_outbound
from relay.wire.cable_client import CableClient, Message
from relay.wire.jsontext import JsonValue
from tests.fuzz.pieces import text
from tests.fuzz.target import Target

IDENTIFIER: Final = '{"channel":"BotChannel","protocol":2}'


def check(data: bytes) -> None:
    """A frame is understood or it is not; one of protocol 2 is the same when it is said again."""
    client = CableClient(IDENTIFIER)
    client.receive(data)
    frame = client.receive(text(data))
    if not isinstance(frame, Message):
        return
    found = decode_outbound(frame.payload)
    if isinstance(found, Acked | Missing | Closed | Cancel | Refused | Connected):
        said = encode(found, 2, now_iso="")
        assert said is not None
        again = jsontext.loads(jsontext.dumps(said))
        assert isinstance(again, dict)
        if not (isinstance(found, Acked) and found.sequence is not None):
            assert decode_outbound(again) == found


def seeds() -> list[bytes]:
    """A frame of each type."""
    closed = Closed("s", "completed", 3, ((1, 1),))
    open_ = OpenStreamState("s", "e", "active", 1, ((0, 0),), 256)
    command: dict[str, JsonValue] = {
        "type": "execute_command",
        "command": "chat",
        "metadata": {"session_id": "s"},
    }
    said: list[Outbound] = [
        Acked("s", None, 3, ((0, 2), (5, 5)), 250),
        Missing("s", ((3, 4),)),
        closed,
        Cancel("s", "device_gone"),
        Refused("s", 3, RefusalCode.CHUNK_TOO_LARGE, "split it", 1.5),
        Refused(None, None, RefusalCode.UNKNOWN_ACTION, "no"),
        Connected(1, "c", 2, "memory", 1024, (open_, closed)),
        Command("s", command, 256, "voucher"),
    ]
    payloads = [encode(one, 2, now_iso="") for one in said]
    frames = [cable.message(IDENTIFIER, payload) for payload in payloads if payload is not None]
    frames += [cable.message(IDENTIFIER, {"type": "chunk_received", "session_id": "s"})]
    frames += [cable.welcome(), cable.ping(1.0), cable.confirm(IDENTIFIER)]
    frames += [cable.reject(IDENTIFIER), cable.disconnect("unauthorized", reconnect=False)]
    refusal = cable.Refusal(RefusalCode.MALFORMED_JSON, None, "the frame")
    return [frame.encode() for frame in [*frames, cable.refused(refusal)]]


TARGET: Final = Target(check, seeds)
