from __future__ import annotations

import json

import pytest

from relay.protocol.events import RefusalCode
from relay.wire import cable
from relay.wire.cable import (
    FRAME_BYTES_MAX,
    IDENTIFIER_CHARS_MAX,
    SUBSCRIPTIONS_MAX,
    SUMMARY_FRAME_BYTES_MAX,
    CableServer,
    Perform,
    Refusal,
    Reply,
    Subscribe,
    Unsubscribe,
)
from relay.wire.jsontext import JsonValue

BOT = '{"channel": "BotChannel",  "bot_id":"1"}'  # the spacing is the client's own


def frame(command: str, identifier: JsonValue = BOT, **fields: JsonValue) -> str:
    """Return a frame of a client."""
    return json.dumps({"identifier": identifier, "command": command, **fields})


def perform(payload: JsonValue, identifier: str = BOT) -> str:
    """Return a `message` frame."""
    return frame("message", identifier, data=json.dumps(payload, ensure_ascii=False))


def subscribed() -> CableServer:
    """Return a server with one confirmed subscription."""
    server = CableServer()
    server.receive(frame("subscribe"))
    server.confirm(BOT)
    return server


def refusal(server: CableServer, raw: str) -> Refusal:
    """Receive a frame that must be refused."""
    (event,) = server.receive(raw)
    assert isinstance(event, Refusal)
    return event


# --- subscriptions ---------------------------------------------------------------------------


def test_a_subscription_is_asked_for_and_decided_by_the_shell() -> None:
    """The identifier is told apart into its parameters and echoed byte for byte."""
    server = CableServer()
    assert server.receive(frame("subscribe")) == [
        Subscribe(BOT, {"channel": "BotChannel", "bot_id": "1"})
    ]
    assert json.loads(server.confirm(BOT)) == {"identifier": BOT, "type": "confirm_subscription"}
    assert server.identifiers == (BOT,)


def test_a_second_subscribe_is_confirmed_again_and_does_nothing_else() -> None:
    """A stock client whose confirmation was lost repeats `subscribe` for ever."""
    server = subscribed()
    assert server.receive(frame("subscribe")) == [Reply(cable.confirm(BOT))]
    assert server.identifiers == (BOT,)


def test_a_second_subscribe_before_the_decision_waits_for_it() -> None:
    """Confirming it would forestall the shell, and its answer is on the way."""
    server = CableServer()
    server.receive(frame("subscribe"))
    assert server.receive(frame("subscribe")) == []


def test_identifiers_are_compared_as_strings() -> None:
    """The same JSON with other spacing is another subscription."""
    server = subscribed()
    other = '{"channel":"BotChannel","bot_id":"1"}'
    assert len(server.receive(frame("subscribe", other))) == 1
    assert server.identifiers == (BOT, other)


def test_a_rejected_subscription_is_gone_and_may_be_asked_for_again() -> None:
    """Nothing of it stays in the table."""
    server = CableServer()
    server.receive(frame("subscribe"))
    assert json.loads(server.reject(BOT)) == {"identifier": BOT, "type": "reject_subscription"}
    assert server.identifiers == ()
    assert isinstance(server.receive(frame("subscribe"))[0], Subscribe)


def test_an_unsubscribe_ends_the_subscription_once() -> None:
    """No reply is ever sent, and an unknown identifier is nothing."""
    server = subscribed()
    assert server.receive(frame("unsubscribe")) == [Unsubscribe(BOT)]
    assert server.receive(frame("unsubscribe")) == []
    assert server.receive(frame("unsubscribe", 5)) == []
    assert refusal(server, perform({})).code is RefusalCode.NOT_SUBSCRIBED


def test_an_unconfirmed_subscription_can_be_unsubscribed() -> None:
    """A late decision does not bring it back."""
    server = CableServer()
    server.receive(frame("subscribe"))
    assert server.receive(frame("unsubscribe")) == [Unsubscribe(BOT)]
    server.confirm(BOT)
    assert server.identifiers == ()


def test_subscriptions_are_bounded() -> None:
    """One too many is rejected, which stops a stock client from repeating it."""
    server = CableServer()
    for number in range(SUBSCRIPTIONS_MAX):
        assert isinstance(server.receive(frame("subscribe", f'{{"n":{number}}}'))[0], Subscribe)
    assert server.receive(frame("subscribe")) == [Reply(cable.reject(BOT))]
    server.receive(frame("unsubscribe", '{"n":0}'))
    assert isinstance(server.receive(frame("subscribe"))[0], Subscribe)


@pytest.mark.parametrize(
    ("identifier", "code"),
    [
        ("BotChannel", RefusalCode.MALFORMED_JSON),
        ("", RefusalCode.MALFORMED_JSON),
        ('"BotChannel"', RefusalCode.INVALID_PAYLOAD),
        ("[]", RefusalCode.INVALID_PAYLOAD),
        (None, RefusalCode.INVALID_PAYLOAD),
        ({"channel": "BotChannel"}, RefusalCode.INVALID_PAYLOAD),
        ('{"a":"' + "x" * IDENTIFIER_CHARS_MAX + '"}', RefusalCode.INVALID_PAYLOAD),
    ],
)
def test_an_identifier_must_be_a_string_that_holds_an_object(
    identifier: JsonValue, code: RefusalCode
) -> None:
    """Anything else is refused and not remembered."""
    server = CableServer()
    assert refusal(server, frame("subscribe", identifier)).code is code
    assert server.identifiers == ()


# --- messages ----------------------------------------------------------------------------------


def test_a_message_carries_its_payload() -> None:
    """`data` is JSON inside of a JSON string; half of a surrogate pair passes."""
    server = subscribed()
    payload: JsonValue = {"type": "stream_chunk", "content": "嘿\ud83e"}
    raw = frame("message", data=json.dumps(payload))
    assert server.receive(raw) == [Perform(BOT, {"type": "stream_chunk", "content": "嘿\ud83e"})]


def test_a_message_may_come_before_the_confirmation() -> None:
    """Clients may send early; nothing is lost while the shell decides."""
    server = CableServer()
    server.receive(frame("subscribe"))
    assert server.receive(perform({"action": "ping"})) == [Perform(BOT, {"action": "ping"})]


@pytest.mark.parametrize("identifier", ["", '{"channel":"BotChannel"}', None, 5, ["x"]])
def test_a_message_without_a_subscription_is_refused(identifier: JsonValue) -> None:
    """It cannot be tied to a subscription, so the refusal is tied to none."""
    event = refusal(subscribed(), frame("message", identifier, data="{}"))
    assert (event.code, event.identifier) == (RefusalCode.NOT_SUBSCRIBED, None)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"type": "stream_end"}, RefusalCode.INVALID_PAYLOAD),
        (None, RefusalCode.INVALID_PAYLOAD),
        (5, RefusalCode.INVALID_PAYLOAD),
        ("{", RefusalCode.MALFORMED_JSON),
        ('{"n":NaN}', RefusalCode.MALFORMED_JSON),
        ("[]", RefusalCode.INVALID_PAYLOAD),
        ("null", RefusalCode.INVALID_PAYLOAD),
    ],
)
def test_data_must_be_a_string_that_holds_an_object(data: JsonValue, code: RefusalCode) -> None:
    """The refusal goes to the subscription."""
    event = refusal(subscribed(), frame("message", data=data))
    assert (event.code, event.identifier) == (code, BOT)


# --- other frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ['{"type":"pong"}', '{"command":"pong"}', '{"type":"pong","x":1}'])
def test_a_pong_is_accepted_and_ignored(raw: str) -> None:
    """SDKs up to 2.3.10 answer every ping so."""
    assert CableServer().receive(raw) == []


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", RefusalCode.MALFORMED_JSON),
        ("{", RefusalCode.MALFORMED_JSON),
        ("[" * 40_000, RefusalCode.MALFORMED_JSON),
        ("[]", RefusalCode.INVALID_PAYLOAD),
        ("5", RefusalCode.INVALID_PAYLOAD),
        ("{}", RefusalCode.UNKNOWN_COMMAND),
        ('{"type":"stream_chunk","content":"x"}', RefusalCode.UNKNOWN_COMMAND),
        ('{"command":"history"}', RefusalCode.UNKNOWN_COMMAND),
        ('{"command":["subscribe"]}', RefusalCode.UNKNOWN_COMMAND),
        ('{"command":"Subscribe"}', RefusalCode.UNKNOWN_COMMAND),
        ('{"command":"whisper","type":"pong"}', RefusalCode.UNKNOWN_COMMAND),
    ],
)
def test_anything_else_is_refused_and_changes_nothing(raw: str, code: RefusalCode) -> None:
    """Malformed, unknown, or SDK 2.2.0's bare frames: the connection lives on."""
    server = subscribed()
    event = refusal(server, raw)
    assert (event.code, event.identifier) == (code, None)
    assert server.identifiers == (BOT,)


# --- sizes ---------------------------------------------------------------------------------------


def sized(size: int, payload: dict[str, JsonValue]) -> str:
    """A `message` frame of exactly `size` bytes of UTF-8."""
    empty = perform({**payload, "content": ""})
    raw = perform({**payload, "content": "x" * (size - len(empty.encode()))})
    assert len(raw.encode()) == size
    return raw


CHUNK: dict[str, JsonValue] = {"type": "stream_chunk", "session_id": "S", "sequence": 3}
SUMMARY: dict[str, JsonValue] = {"type": "stream_summary", "session_id": "S"}


def test_a_frame_of_the_largest_size_is_read() -> None:
    """65,536 bytes, and four times that for a summary."""
    assert isinstance(subscribed().receive(sized(FRAME_BYTES_MAX, CHUNK))[0], Perform)
    raw = sized(SUMMARY_FRAME_BYTES_MAX, SUMMARY)
    assert isinstance(subscribed().receive(raw)[0], Perform)


def test_a_larger_frame_is_refused_by_name() -> None:
    """The bot learns which chunk it has to split."""
    assert refusal(subscribed(), sized(FRAME_BYTES_MAX + 1, CHUNK)) == Refusal(
        RefusalCode.FRAME_TOO_LARGE, BOT, "the frame is larger than 65536 bytes", "S", 3
    )


def test_a_size_is_counted_in_bytes() -> None:
    """Few characters may be many bytes."""
    event = refusal(subscribed(), perform({**CHUNK, "content": "嘿" * (FRAME_BYTES_MAX // 3)}))
    assert event.code is RefusalCode.FRAME_TOO_LARGE


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "stream_chunk", "session_id": 5, "sequence": True},
        {"action": "stream_chunk", "type": "stream_summary", "sequence": "3"},
        {},
    ],
)
def test_a_too_large_frame_names_only_what_can_be_read(payload: dict[str, JsonValue]) -> None:
    """Wrong types are left out; `action` decides that it is no summary."""
    event = refusal(subscribed(), sized(FRAME_BYTES_MAX + 1, payload))
    assert (event.code, event.stream_id, event.sequence) == (
        RefusalCode.FRAME_TOO_LARGE,
        None,
        None,
    )


@pytest.mark.parametrize(
    "raw",
    [
        "x" * (FRAME_BYTES_MAX + 1),
        frame("subscribe", '{"a":"' + "x" * FRAME_BYTES_MAX + '"}'),
        json.dumps({"command": "novel", "a": "x" * FRAME_BYTES_MAX}),
        json.dumps({"type": "pong", "a": "x" * FRAME_BYTES_MAX}),
        sized(SUMMARY_FRAME_BYTES_MAX + 1, SUMMARY),
    ],
)
def test_every_other_large_frame_is_refused(raw: str) -> None:
    """Only a summary may be large, and it has its limit too."""
    event = refusal(subscribed(), raw)
    assert (event.code, event.identifier) == (RefusalCode.FRAME_TOO_LARGE, None)


# --- frames that the server sends -----------------------------------------------------------------


def test_frames_are_as_actioncable_clients_know_them() -> None:
    """The exact text."""
    assert cable.welcome() == '{"type":"welcome"}'
    assert cable.ping(1_772_181_665.9) == '{"type":"ping","message":1772181665}'
    assert cable.message("I", {"a": "嘿"}) == '{"identifier":"I","message":{"a":"嘿"}}'
    assert (
        cable.disconnect("fenced", reconnect=False)
        == '{"type":"disconnect","reason":"fenced","reconnect":false}'
    )
    assert cable.confirm('{"a": 1}') == (
        '{"identifier":"{\\"a\\": 1}","type":"confirm_subscription"}'
    )


def test_a_refusal_is_a_message_where_there_is_a_subscription() -> None:
    """As docs/protocol.md section 5 shapes it."""
    raw = cable.refused(Refusal(RefusalCode.FRAME_TOO_LARGE, BOT, "split it", "S", 3))
    assert json.loads(raw) == {
        "identifier": BOT,
        "message": {
            "type": "refused",
            "session_id": "S",
            "sequence": 3,
            "code": "frame_too_large",
            "message": "split it",
        },
    }


def test_a_refusal_is_an_error_frame_where_there_is_none() -> None:
    """A shape that ActionCable clients ignore."""
    raw = cable.refused(Refusal(RefusalCode.MALFORMED_JSON, None, "why"))
    assert json.loads(raw) == {
        "type": "error",
        "identifier": "",
        "message": {
            "type": "refused",
            "session_id": None,
            "sequence": None,
            "code": "malformed_json",
            "message": "why",
        },
    }


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], None),
        (["actioncable-v1-json"], "actioncable-v1-json"),
        (["actioncable-v1-json", "actioncable-unsupported"], "actioncable-v1-json"),
        (["actioncable-unsupported", "actioncable-v1-json", "token"], "actioncable-v1-json"),
        (["actioncable-unsupported"], None),
        (["actioncable-v1-ext-json"], None),
    ],
)
def test_only_one_subprotocol_is_ever_selected(offered: list[str], selected: str | None) -> None:
    """A stock client that is answered with anything else never comes back."""
    assert cable.select_subprotocol(offered) == selected
