from __future__ import annotations

import pytest

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.protocol.limits import CHUNK_BYTES_MAX, SEQUENCE_MAX
from relay.wire.bot_decode import (
    PayloadRefused,
    decode,
    exceeds_utf8,
    verb,
)
from relay.wire.bot_messages import (
    CommandResult,
    ExecuteCommand,
    Ignored,
    Inbound,
    LegacyResponse,
    LogLine,
    Ping,
    Resume,
    Started,
    StatusQuery,
    StreamMessage,
)
from relay.wire.jsontext import JsonValue

Fields = dict[str, JsonValue]


def chunk(**fields: JsonValue) -> Fields:
    """Return a chunk with some fields changed."""
    return {"type": "stream_chunk", "session_id": "S", "sequence": 3, "content": "x", **fields}


def refusal(payload: Fields) -> PayloadRefused:
    """Decode a payload that must be refused."""
    with pytest.raises(PayloadRefused) as refused:
        decode(payload)
    return refused.value


# --- dispatch -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["action", "type"])
@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("stream_chunk", {"sequence": 0, "content": "x"}, Chunk("x", 0)),
        ("stream_end", {"total_chunks": 4, "content_hash": "61"}, End(4, "61")),
        ("stream_end", {}, End()),
        ("stream_error", {"error": "boom"}, Abort("boom")),
        ("stream_error", {"error": "boom", "message": "Sorry."}, Abort("boom", "Sorry.")),
        (
            "stream_summary",
            {"total_content": "x", "total_chunks": 1, "content_hash": "78"},
            Summary("x", 1, "78"),
        ),
    ],
)
def test_a_streams_verbs_come_as_action_or_as_type(
    key: str, name: str, fields: Fields, message: Chunk | End | Summary | Abort
) -> None:
    """SDK 2.0.x says `action`, later ones say `type`; both mean the same."""
    assert decode({key: name, "session_id": "S", **fields}) == StreamMessage("S", message)


def test_action_wins_over_type() -> None:
    """As in the reference, where both keys are there."""
    assert decode({"action": "ping", "type": "stream_end"}) == Ping()


@pytest.mark.parametrize("action", ["", "  ", None, False, [], {}])
def test_a_blank_action_is_none(action: JsonValue) -> None:
    """Rails' `present?` decides: these fall through to `type`."""
    assert decode({"action": action, "type": "pong"}) == Ignored()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"action": "ping", "timestamp": "2026"}, Ping()),
        ({"action": "status"}, StatusQuery()),
        ({"action": "log", "level": "warn", "message": {"a": 1}}, LogLine("warn", {"a": 1})),
        ({"action": "log", "level": 3}, LogLine("info", None)),
        ({"action": "execute_command", "command": "chat"}, ExecuteCommand("chat")),
        ({"action": "command_result", "command": "c"}, CommandResult()),
        ({"action": "response", "session_id": "S", "content": "x"}, LegacyResponse("S")),
        ({"action": "response", "session_id": "S", "content": " "}, Ignored()),
        ({"action": "response", "session_id": " ", "content": "x"}, Ignored()),
        ({"action": "response", "session_id": 5, "content": "x"}, Ignored()),
        ({"action": "response", "session_id": "S"}, Ignored()),
        ({"action": "response", "session_id": "S", "content": {"text": "x"}}, LegacyResponse("S")),
        ({"action": "pong"}, Ignored()),
        ({"type": "pong"}, Ignored()),
    ],
)
def test_each_verb_is_understood(payload: Fields, message: Inbound) -> None:
    """All verbs of the reference, complete and incomplete."""
    assert decode(payload) == message


@pytest.mark.parametrize(
    "payload",
    [
        {"action": "subscribed"},
        {"action": "unsubscribed"},
        {"action": "receive", "type": "stream_end"},
        {"action": "stream_chunk "},
        {"action": 5},
        {"action": ["ping"]},
        {"type": "ping"},
        {"type": "status"},
        {"type": "log"},
        {"type": "response"},
        {"type": "execute_command"},
        {"type": "command_result"},
        {"type": "subscribed"},
        {"type": 5},
        {"type": None},
        {},
    ],
)
def test_hooks_and_unknown_verbs_are_refused(payload: Fields) -> None:
    """Hooks must not be callable, and what exists as `action` only is unknown as `type`."""
    assert refusal(payload).code is RefusalCode.UNKNOWN_ACTION


def test_a_long_unknown_verb_is_not_echoed_in_full() -> None:
    """The answer to a hostile frame stays small."""
    assert len(refusal({"action": "x" * 60_000}).message) < 100


def test_the_verb_is_action_or_type() -> None:
    """What logs and limits go by."""
    assert verb({"action": "ping", "type": "stream_end"}) == "ping"
    assert verb({"type": "stream_end"}) == "stream_end"
    assert verb({"action": 5, "type": "stream_end"}) == ""


# --- chunks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", [0, 1, SEQUENCE_MAX])
def test_a_sequence_in_range_is_taken(sequence: int) -> None:
    """From 0 to a million, both included."""
    assert decode(chunk(sequence=sequence)) == StreamMessage("S", Chunk("x", sequence))


@pytest.mark.parametrize(
    "sequence", [-1, True, False, 1.0, "1", "", [], {}, SEQUENCE_MAX + 1, 10**9, 2**31, 2**63]
)
def test_any_other_sequence_is_refused(sequence: JsonValue) -> None:
    """Exactly an integer: what merely equals one in Python is not."""
    error = refusal(chunk(sequence=sequence))
    assert (error.code, error.stream_id, error.sequence) == (
        RefusalCode.INVALID_SEQUENCE,
        "S",
        None,
    )


def test_a_chunk_without_a_sequence_is_numbered_later() -> None:
    """SDK 2.3.7 sends none, others may send null."""
    expected = StreamMessage("S", Chunk("x", None))
    assert decode({"type": "stream_chunk", "session_id": "S", "content": "x"}) == expected
    assert decode(chunk(sequence=None)) == expected


def test_protocol_2_must_number_its_chunks() -> None:
    """Numbered by arrival, a chunk that is sent again would be shown twice."""
    with pytest.raises(PayloadRefused) as refused:
        decode(chunk(sequence=None), must_number=True)
    assert (refused.value.code, refused.value.stream_id) == (RefusalCode.INVALID_SEQUENCE, "S")
    assert decode(chunk(), must_number=True) == StreamMessage("S", Chunk("x", 3))


@pytest.mark.parametrize("content", ["", " ", "\n\n", "\u3000", "\r\n\0\u2028", "\ud83e", "🦞"])
def test_any_string_is_content(content: str) -> None:
    """Whitespace, control characters, halves of a pair and nothing at all are content."""
    assert decode(chunk(content=content)) == StreamMessage("S", Chunk(content, 3))


@pytest.mark.parametrize("content", [None, 5, True, ["x"], {"text": "x"}])
def test_content_that_is_not_a_string_is_refused(content: JsonValue) -> None:
    """The refusal names the stream and the sequence, so that the bot knows which chunk it was."""
    error = refusal(chunk(content=content))
    assert (error.code, error.stream_id, error.sequence) == (RefusalCode.INVALID_CONTENT, "S", 3)


def test_a_chunk_without_content_is_refused() -> None:
    """A missing key is no empty chunk."""
    payload = chunk()
    del payload["content"]
    assert refusal(payload).code is RefusalCode.INVALID_CONTENT


@pytest.mark.parametrize("character", ["x", "é", "嘿", "🦞", "\ud83e"])
def test_a_chunk_has_its_limit_in_bytes_of_utf8(character: str) -> None:
    """Up to 16,384 bytes are taken; one character more is refused."""
    width = len(character.encode("utf-8", "surrogatepass"))
    largest = character * (CHUNK_BYTES_MAX // width)
    assert decode(chunk(content=largest)) == StreamMessage("S", Chunk(largest, 3))
    error = refusal(chunk(content=largest + character))
    assert (error.code, error.sequence) == (RefusalCode.CHUNK_TOO_LARGE, 3)


def test_the_size_of_a_text_is_exact() -> None:
    """Short texts take a shortcut that must not change the answer."""
    assert not exceeds_utf8("🦞", 4)
    assert exceeds_utf8("🦞", 3)
    assert not exceeds_utf8("xxxx", 4)
    assert exceeds_utf8("xxxxx", 4)


@pytest.mark.parametrize("session_id", [None, "", "  "])
def test_a_blank_session_id_names_no_stream(session_id: JsonValue) -> None:
    """The reference falls back to the connection there; the node decides."""
    assert decode(chunk(session_id=session_id)) == StreamMessage(None, Chunk("x", 3))


@pytest.mark.parametrize("session_id", [5, True, ["S"], {"id": "S"}])
@pytest.mark.parametrize("name", ["stream_chunk", "stream_end", "stream_error", "stream_summary"])
def test_a_session_id_that_is_not_a_string_is_refused(name: str, session_id: JsonValue) -> None:
    """A number that looks like an id is none."""
    error = refusal(chunk(type=name, session_id=session_id))
    assert (error.code, error.stream_id) == (RefusalCode.INVALID_PAYLOAD, None)


# --- SDK 2.0.x ----------------------------------------------------------------------------------


def legacy(**fields: JsonValue) -> Fields:
    """Return a payload of SDK 2.0.x."""
    return {"action": "stream_chunk", "stream_id": "K", **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"stream_type": "stream_chunk", "chunk": "x"},
            StreamMessage(None, Chunk("x"), "K"),
        ),
        ({"chunk": "x"}, StreamMessage(None, Chunk("x"), "K")),
        ({"stream_type": None, "content": None, "chunk": ""}, StreamMessage(None, Chunk(""), "K")),
        ({"stream_type": "stream_start", "chunk": ""}, Started("K")),
        ({"stream_type": "stream_start", "stream_id": ""}, Ignored()),
        ({"stream_type": "stream_end", "chunk": ""}, StreamMessage(None, End(), "K")),
        ({"stream_type": "stream_error", "chunk": "e"}, StreamMessage(None, Abort("e"), "K")),
        ({"stream_type": "stream_error"}, StreamMessage(None, Abort(""), "K")),
        ({"stream_type": "stream_unheard", "chunk": "x"}, StreamMessage(None, Chunk("x"), "K")),
        ({"stream_id": "", "chunk": "x"}, StreamMessage(None, Chunk("x"), None)),
        ({"content": "x", "chunk": "y"}, StreamMessage(None, Chunk("x"), "K")),
    ],
)
def test_the_first_sdks_put_everything_into_stream_chunk(fields: Fields, expected: Inbound) -> None:
    """2.0.x: `chunk`, its own `stream_id`, and the kind in `stream_type`."""
    assert decode(legacy(**fields)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"stream_type": 5, "chunk": "x"},
        {"stream_id": 5, "chunk": "x"},
        {"stream_type": "stream_error", "chunk": 5},
    ],
)
def test_the_first_sdks_fields_are_strict_too(fields: Fields) -> None:
    """A wrong type is refused, not guessed at."""
    assert refusal(legacy(**fields)).code is RefusalCode.INVALID_PAYLOAD


# --- ends ---------------------------------------------------------------------------------------


def test_an_error_without_its_text_still_ends_the_stream() -> None:
    """JavaScript drops undefined keys; refusing would leave the device waiting."""
    expected = StreamMessage("S", Abort(""))
    assert decode({"type": "stream_error", "session_id": "S"}) == expected
    assert decode({"type": "stream_error", "session_id": "S", "error": None}) == expected


def summary(**fields: JsonValue) -> Fields:
    """Return a summary with some fields changed."""
    return {
        "type": "stream_summary",
        "session_id": "S",
        "total_content": "",
        "total_chunks": 0,
        **fields,
    }


def test_a_summary_may_lack_its_hash() -> None:
    """It then agrees by count and prefix alone."""
    assert decode(summary()) == StreamMessage("S", Summary("", 0, None))


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "stream_error", "session_id": "S", "error": {"message": "x"}},
        {"type": "stream_end", "session_id": "S", "content_hash": 61},
        *[
            {"type": "stream_end", "session_id": "S", "total_chunks": total}
            for total in (-1, True, 1.0, "1", SEQUENCE_MAX + 2, 2**63)
        ],
        summary(total_content=None),
        summary(total_content=["x"]),
        summary(total_chunks=None),
        summary(total_chunks=1.0),
        summary(content_hash=0),
    ],
)
def test_a_wrong_field_of_an_end_is_refused(payload: Fields) -> None:
    """The refusal names the stream."""
    error = refusal(payload)
    assert (error.code, error.stream_id) == (RefusalCode.INVALID_PAYLOAD, "S")


def test_the_largest_total_fits_the_largest_sequence() -> None:
    """A stream with sequences 0..1,000,000 has 1,000,001 chunks."""
    payload: Fields = {"type": "stream_end", "session_id": "S", "total_chunks": SEQUENCE_MAX + 1}
    assert decode(payload) == StreamMessage("S", End(SEQUENCE_MAX + 1))


# --- resuming -------------------------------------------------------------------------------


def test_a_resume_is_a_stream_and_a_voucher() -> None:
    """What is in the voucher is the relay's business."""
    assert decode({"type": "stream_resume", "session_id": "S", "resume": "V"}) == Resume("S", "V")


@pytest.mark.parametrize("fields", [{"session_id": "S"}, {"resume": "V"}, {"resume": 1}])
def test_a_resume_without_either_is_refused(fields: Fields) -> None:
    """There is nothing to go on with."""
    refused = refusal({"type": "stream_resume", "session_id": " ", **fields})
    assert refused.code is RefusalCode.INVALID_PAYLOAD
