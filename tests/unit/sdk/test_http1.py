from __future__ import annotations

import pytest

from relay_sdk.http1 import (
    HEAD_BYTES_MAX,
    INTERIM_MAX,
    LINE_BYTES_MAX,
    Head,
    MalformedResponse,
    ResponseParser,
    encode_request,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(raw: bytes, *, step: int = 1 << 20) -> tuple[Head, bytes]:
    """Read a whole response in pieces, up to the other side's close."""
    parser = ResponseParser()
    body = b"".join(parser.feed(raw[at : at + step]) for at in range(0, len(raw), step))
    parser.feed_eof()
    assert parser.finished
    assert parser.head is not None
    return parser.head, body


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (OK + b"content-length:5\r\n\r\nhello", b"hello"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (CHUNKED + b"1\r\nh\r\n00004;x=y\r\nello\r\n0\r\n\r\n", b"hello"),
        (CHUNKED + b"A\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n" * 5),
        (CHUNKED + b"0\r\nExpires: never\r\n\r\n", b""),
        (OK + b"\r\nuntil it closes", b"until it closes"),
        (b"HTTP/1.0 200\r\n\r\nold", b"old"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n!", b"!"),
    ],
)
def test_a_response_is_read_however_it_is_cut(raw: bytes, body: bytes, step: int) -> None:
    """Every framing of RFC 9112, cut at every place."""
    assert read(raw, step=step)[1] == body


def test_a_head_says_status_and_headers() -> None:
    """Names in lower case, white space around values gone, repeated headers joined."""
    raw = b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-Empty:\r\nx-a:\t2 3 \r\nContent-Length: 0\r\n\r\n"
    expected = {"x-a": "1, 2 3", "x-empty": "", "content-length": "0"}
    assert read(raw)[0] == Head(404, expected)


def test_text_of_a_chunk_is_there_before_the_chunk_is_whole() -> None:
    """An SSE event must not wait for the end of a large chunk."""
    parser = ResponseParser()
    assert parser.feed(CHUNKED + b"ff\r\nearly") == b"early"
    assert not parser.finished


def test_what_follows_a_finished_response_is_ignored() -> None:
    """The connection is used once."""
    parser = ResponseParser()
    assert parser.feed(OK + b"Content-Length: 1\r\n\r\na" + OK) == b"a"
    assert parser.feed(b"more") == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        OK + b"Content-Length: 5\r\n\r\nhell",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhel",
    ],
)
def test_a_response_that_breaks_off_is_malformed(raw: bytes) -> None:
    """An end that was cut off must not look like an end."""
    with pytest.raises(MalformedResponse, match="broke off"):
        read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"bad name: 1\r\n\r\n",
        OK + b"folded: 1\r\n and more\r\n\r\n",
        OK + b"nul: \0\r\n\r\n",
        OK + b"bare: 1\nline: feed\r\n\r\n",
        OK + b"Content-Encoding: gzip\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        CHUNKED + b"5\nhello\r\n",
        CHUNKED + b"\r\nhello\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b"0x5\r\nhello\r\n",
        CHUNKED + b"4\r\nhello\r\n",
        CHUNKED + b"ffffffff\r\n",
        CHUNKED + b"5;" + b"x" * (LINE_BYTES_MAX + 1),
        CHUNKED + b"0\r\n" + b"a: 1\r\n" * (HEAD_BYTES_MAX // 3),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_MAX + 1),
        OK + b"a: 1\r\n" * (HEAD_BYTES_MAX // 6 + 1) + b"\r\n",
        b"a" * (HEAD_BYTES_MAX + 1),
    ],
)
@pytest.mark.parametrize("step", [997, 1 << 20])
def test_whatever_is_ambiguous_or_endless_is_refused(raw: bytes, step: int) -> None:
    """Two lengths, folded headers, bare line feeds, lines without an end: no relay sends them."""
    with pytest.raises(MalformedResponse, match=r"^(?!the response broke off)"):
        read(raw, step=step)


def test_a_request_is_written_with_its_length() -> None:
    """One head, the length of the body, the body."""
    raw = encode_request("POST", "/a?b=c", {"Host": "h", "X": ""}, b"{}")
    assert raw == b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nX: \r\nContent-Length: 2\r\n\r\n{}"
    assert encode_request("GET", "/", {}) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\n", "\0", "Schl\u00fcssel", "a\x7f"])
def test_no_header_can_break_out_of_its_line(value: str) -> None:
    """An access key with a line break is refused, and not shown."""
    with pytest.raises(ValueError, match="Authorization") as caught:
        encode_request("GET", "/", {"Authorization": value})
    assert value not in str(caught.value)


@pytest.mark.parametrize("target", ["", "a", "/a b", "/a\r\n", "/\u00fc"])
def test_no_target_can_break_out_of_its_line(target: str) -> None:
    """A stream id comes from the relay, and a URL from somebody's configuration."""
    with pytest.raises(ValueError, match="target"):
        encode_request("GET", target, {})
