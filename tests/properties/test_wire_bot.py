"""What one half of the bot protocol writes, the other reads back."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.wire import cable, parts
from relay.wire.bot import (
    Acked,
    Cancel,
    Closed,
    Command,
    Connected,
    Missing,
    OpenStreamState,
    Outbound,
    PayloadRefused,
    Refused,
    StreamMessage,
    decode,
    encode,
)
from relay.wire.bot_client import decode_outbound, encode_stream_message
from relay.wire.cable import CableServer, Perform, Refusal
from relay.wire.cable_client import CableClient, Message
from relay.wire.jsontext import JsonValue

BOT = '{"channel":"BotChannel","protocol":2}'

any_text = st.text(st.characters(codec=None), max_size=30)
names = any_text.filter(lambda text: text.strip() != "")
counts = st.integers(0, 1_000_000)
hashes = st.none() | any_text
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
ranges = st.lists(st.tuples(counts, counts).map(lambda pair: (min(pair), max(pair)))).map(tuple)
closed = st.builds(Closed, names, any_text, counts, ranges)

any_part = st.one_of(
    st.none(),
    st.builds(
        lambda **fields: parts.tool_call(fields),
        command=st.sampled_from(parts.COMMANDS),
        title=st.none() | any_text,
        navi_type=st.none() | st.sampled_from(parts.NAVI_TYPES),
        is_recall=st.none() | st.booleans(),
    ),
    st.lists(names, min_size=1, max_size=3).map(lambda texts: parts.follow_up([*texts])),
)
stream_messages = st.one_of(
    st.builds(Chunk, any_text, st.none() | counts, any_part),
    st.builds(End, st.none() | counts, hashes),
    st.builds(Summary, any_text, counts, hashes),
    st.builds(Abort, any_text, names | st.just("")),
)
outbound: st.SearchStrategy[Outbound] = st.one_of(
    closed,
    st.builds(Acked, names, st.none(), counts, ranges, counts),
    st.builds(Missing, names, ranges),
    st.builds(Cancel, names, any_text),
    st.builds(
        Refused,
        st.none() | names,
        st.none() | counts,
        st.sampled_from(RefusalCode),
        any_text,
        st.none() | st.floats(0, 1e9),
    ),
    st.builds(
        Connected,
        counts,
        any_text,
        st.just(2),
        any_text,
        counts,
        st.lists(
            closed
            | st.builds(
                OpenStreamState, names, any_text, st.just("active"), counts, ranges, counts
            ),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(
        lambda stream_id, params, credit: Command(
            stream_id,
            {
                "type": "execute_command",
                "command": "chat",
                "params": params,
                "metadata": {"session_id": stream_id},
            },
            credit,
        ),
        names,
        json_values,
        counts,
    ),
)


def linked() -> tuple[CableClient, CableServer]:
    """Return a client and a server with one confirmed subscription."""
    client, server = CableClient(BOT), CableServer()
    server.receive(client.subscribe())
    client.receive(server.confirm(BOT))
    return client, server


@given(names, stream_messages)
def test_what_a_bot_says_arrives_as_it_was_said(
    stream_id: str, message: Chunk | End | Summary | Abort
) -> None:
    """Through both envelopes, for any text and any number in range."""
    client, server = linked()
    (event,) = server.receive(client.perform(encode_stream_message(stream_id, message)))
    assert isinstance(event, Perform)
    assert decode(event.payload) == StreamMessage(stream_id, message)


@given(outbound)
def test_what_the_relay_says_arrives_as_it_was_said(message: Outbound) -> None:
    """Every message of protocol 2 that the SDK reads."""
    client, _ = linked()
    payload = encode(message, 2, now_iso="")
    assert payload is not None
    frame = client.receive(cable.message(BOT, payload))
    assert isinstance(frame, Message)
    assert decode_outbound(frame.payload) == message


KEYS = """action type session_id sequence content chunk stream_id stream_type error total_chunks
    total_content content_hash metadata credit streams received ranges next_sequence code missing
    outcome message reason bot_id tool_call follow_up"""
VERBS = """stream_chunk stream_end stream_error stream_summary ping response log pong ack missing
    connected execute_command refused stream_closed chunk_received"""

verbs = st.sampled_from(VERBS.split())
payloads = st.dictionaries(st.sampled_from(KEYS.split()), json_values | verbs, max_size=8)


@given(payloads, verbs)
def test_no_payload_breaks_either_half(payload: dict[str, JsonValue], verb: str) -> None:
    """A bot's payload is taken or refused with a code; a relay's is taken or None."""
    payload.setdefault("type", verb)
    decode_outbound(payload)
    with contextlib.suppress(PayloadRefused):
        decode(payload)


@given(
    st.one_of(
        any_text,
        st.text('{}[]":,\\ud83e123.eE-+ \n', max_size=40),
        st.builds(
            lambda frame: cable.message(BOT, frame),
            st.dictionaries(
                st.sampled_from(["command", "identifier", "data", "type"]), json_values
            ),
        ),
    )
)
def test_no_frame_breaks_the_cable(raw: str) -> None:
    """Whatever a socket brings, the subscription stays and the answer is a frame."""
    client, server = linked()
    for event in server.receive(raw):
        assert isinstance(event, Refusal)
        client.receive(cable.refused(event))
    client.receive(raw)
    assert server.identifiers == (BOT,)
