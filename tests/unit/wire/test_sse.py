from __future__ import annotations

import pytest

from relay.wire.sse import EVENT_CHARS_MAX, SseEvent, SseParser, comment, encode_event


def parse(*pieces: bytes) -> list[SseEvent]:
    """Parse a stream that comes in these pieces."""
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)]


# --- the encoder --------------------------------------------------------------------------


def test_an_event_has_lf_separators_and_its_fields_in_order() -> None:
    """The exact bytes that devices get."""
    assert encode_event('{"a":1}') == b'data: {"a":1}\n\n'
    assert encode_event("x", event="message") == b"event: message\ndata: x\n\n"
    assert encode_event("x", id="e_-1.17") == b"id: e_-1.17\ndata: x\n\n"
    assert encode_event("x", event="done", id="e.1") == b"event: done\nid: e.1\ndata: x\n\n"


@pytest.mark.parametrize("break_", list("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\0"))
def test_data_that_is_not_one_line_is_refused(break_: str) -> None:
    """In the widest sense of a line, and without NUL."""
    for data in (f"a{break_}b", f"{break_}a", f"a{break_}"):
        with pytest.raises(ValueError, match="one line"):
            encode_event(data)


def test_empty_data_is_refused() -> None:
    """An id without data moves the cursor of some clients and not of others."""
    with pytest.raises(ValueError, match="one line"):
        encode_event("", id="e.1")


@pytest.mark.parametrize("name", ["", "error", "Message", "message\n", "done\ndata: x"])
def test_only_names_that_device_protocols_define_are_written(name: str) -> None:
    """No protocol defines an `error` event, and no name can carry a line break."""
    with pytest.raises(ValueError, match="no such event"):
        encode_event("x", event=name)


@pytest.mark.parametrize("identifier", ["", "a\n", "a b", "é", "a\0", "a/b", "a" * 129])
def test_only_harmless_ids_are_written(identifier: str) -> None:
    """An id that could end its line could forge an event."""
    with pytest.raises(ValueError, match="id"):
        encode_event("x", id=identifier)


def test_a_comment_is_one_line_and_no_event() -> None:
    """`: stream <id>` is the first thing that every device stream says; clients skip it."""
    assert comment("stream 1f0c") == b": stream 1f0c\n\n"
    assert parse(comment("stream 1f0c"), encode_event("x")) == [SseEvent("x")]
    with pytest.raises(ValueError, match="one line"):
        comment("a\ndata: forged")


# --- the parser -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_ends_a_line(end: bytes) -> None:
    """LF, CR and CRLF all count."""
    raw = end.join([b"event: done", b"id: 7", b"data: a", b"data: b", b"", b""])
    assert parse(raw) == [SseEvent("a\nb", "done", "7")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_stream_may_be_cut_anywhere(end: bytes) -> None:
    """Byte by byte, in the middle of a character and of a CRLF, the events are the same."""
    raw = end.join(["data: 嘿🦞".encode(), b"", b"data: b", b"", b""])
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == [SseEvent("嘿🦞"), SseEvent("b")]


def test_a_crlf_that_is_cut_is_one_line_end() -> None:
    """Otherwise the LF would be a blank line and dispatch half an event."""
    assert parse(b"data: a\r", b"", b"\ndata: b\r", b"\n\r", b"\n") == [SseEvent("a\nb")]


def test_a_blank_line_in_cr_ends_the_event_at_once() -> None:
    """A lone CR needs no byte behind it."""
    assert parse(b"data: a\r\r") == [SseEvent("a")]


def test_one_leading_bom_is_dropped_and_only_one() -> None:
    """A second one spoils the name of the first field."""
    bom = b"\xef\xbb\xbf"
    assert parse(bom[:1], bom[1:], b"data: a\n\n") == [SseEvent("a")]
    assert parse(bom + bom + b"data: a\ndata: b\n\n") == [SseEvent("b")]
    assert parse(b"data: a\n\n" + bom + b"data: b\n\n") == [SseEvent("a")]


def test_one_space_behind_the_colon_is_dropped_and_only_one() -> None:
    """`data:  x` keeps a space, `data:x` loses nothing."""
    assert parse(b"data:  x\n\ndata:x\n\ndata: x: y\n\n") == [
        SseEvent(" x"),
        SseEvent("x"),
        SseEvent("x: y"),
    ]


def test_data_without_a_value_is_an_empty_event() -> None:
    """`data` alone is a field with an empty value, and two of them are a line break."""
    assert parse(b"data\n\ndata:\n\ndata\ndata\n\n") == [SseEvent(""), SseEvent(""), SseEvent("\n")]


def test_an_unfinished_tail_is_not_an_event() -> None:
    """An event counts at its blank line."""
    assert parse(b"data: a\n\ndata: b\n") == [SseEvent("a")]


def test_the_id_stays_until_another_one_is_sent() -> None:
    """An event without an id has the last one; an empty id clears it."""
    events = parse(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")
    assert [event.id for event in events] == ["1", "1", ""]


def test_an_id_with_nul_is_ignored() -> None:
    """The cursor stays where it was."""
    assert parse(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")[1].id == "1"


def test_an_id_without_data_moves_the_cursor() -> None:
    """By the standard, though it dispatches no event. Before its blank line it does not count."""
    parser = SseParser("0")
    assert parser.feed(b"id: 1\n") == []
    assert parser.last_event_id == "0"
    assert parser.feed(b"\n") == []
    assert parser.last_event_id == "1"
    assert parser.feed(b"data: x\n\n") == [SseEvent("x", id="1")]


def test_a_name_counts_for_one_event_only() -> None:
    """The next event is a `message` again, also where the named one had no data."""
    assert parse(b"event: done\ndata: a\n\nevent: done\n\ndata: b\n\n") == [
        SseEvent("a", "done"),
        SseEvent("b", "message"),
    ]


@pytest.mark.parametrize(
    ("value", "retry_ms"), [("1500", 1500), ("0", 0), ("1.5", 7), ("-1", 7), ("", 7), ("٣", 7)]
)
def test_retry_takes_digits_only(value: str, retry_ms: int) -> None:
    """Anything else leaves the delay as it was."""
    parser = SseParser(retry_ms=7)
    parser.feed(f"retry: {value}\n\n".encode())
    assert parser.retry_ms == retry_ms


def test_comments_and_unknown_fields_are_skipped() -> None:
    """Keep-alives and the fields of the future are nothing to a client of today."""
    assert parse(b": keep-alive\n\nfuture: 1\nData: no\n data: no\ndata: a\n\n") == [SseEvent("a")]


def test_an_endless_event_is_refused() -> None:
    """As one line and as many, a server cannot fill a client's memory."""
    line = b"data: " + b"x" * 65_536
    for piece in (line, line + b"\n"):
        parser = SseParser()
        for _ in range(EVENT_CHARS_MAX // 65_536 - 1):
            parser.feed(piece)
        with pytest.raises(ValueError, match="larger than"):
            parser.feed(piece + piece)
