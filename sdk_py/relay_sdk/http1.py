"""HTTP/1.1 responses, as strictly as two kinds of request allow. Pure: bytes in, bytes out.

The base install has no HTTP client, and the standard library's blocks a thread for as long as an
answer streams and cannot be interrupted in it, while hanging up at once is half of what a device
does. What is needed is little: one request per connection, no redirects, no compression, no
proxies. So this reads exactly that (RFC 9112) and refuses the rest: whatever is ambiguous
(two lengths, a folded header, a bare line feed) comes from something that is no relay.

    head --> sized --------------------------> finished
      |----> chunk size --> chunk data --+        ^
      |         ^-----------------------+--> trailer
      `----> until the other side closes ---------'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

HEAD_BYTES_MAX = 32 * 1024
"""What the relay itself takes of headers."""
LINE_BYTES_MAX = 1024
"""A chunk's size and its extensions, or one trailer; nobody has a use for more."""
CHUNK_BYTES_MAX = 1 << 28
INTERIM_MAX = 8
"""How many 1xx responses may come before the real one."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_LENGTH = re.compile(r"[0-9]{1,15}")
_TARGET = re.compile(r"/[\x21-\x7e]*")
_VALUE = re.compile(r"[\x20-\x7e]*")

_INFORMATION, _SWITCHING_PROTOCOLS, _OK = 100, 101, 200
_NO_BODY = frozenset({204, 304})


class MalformedResponse(ValueError):
    """What came is not a response that a relay sends, or it broke off."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of a response. Names are in lower case; repeated ones are joined by `, `."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def encode_request(
    method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
) -> bytes:
    """Return a whole request.

    Raises ValueError for a target or a value that could break the frame.
    """
    if _TARGET.fullmatch(target) is None:
        raise ValueError("a target starts with / and is printable ASCII without spaces")
    lines = [f"{method} {target} HTTP/1.1"]
    given = dict(headers)
    if body is not None:
        given["Content-Length"] = str(len(body))
    for name, value in given.items():
        if _VALUE.fullmatch(value) is None:
            # The value may be a key: it is not shown.
            raise ValueError(f"the header {name} must be printable ASCII on one line")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


class _State(Enum):
    HEAD = auto()
    SIZED = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    UNTIL_CLOSE = auto()
    FINISHED = auto()


class ResponseParser:
    """Reads one response that is cut anywhere.

    `feed` returns the bytes of the body, without its framing, as soon as they are there. After
    `MalformedResponse` the connection is of no use any more.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        """None until the whole head was fed."""
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._left = 0
        self._interim = 0
        self._trailer_bytes = 0

    @property
    def finished(self) -> bool:
        """Whether the whole response was fed. What comes behind it is ignored."""
        return self._state is _State.FINISHED

    def feed(self, data: bytes) -> bytes:
        """Take bytes; returns those of the body. Raises `MalformedResponse`."""
        self._buffer += data
        body = bytearray()
        while self._step(body):
            pass
        return bytes(body)

    def feed_eof(self) -> None:
        """The other side has closed. Raises `MalformedResponse` where something is missing."""
        if self._state is _State.UNTIL_CLOSE:
            self._state = _State.FINISHED
        elif self._state is not _State.FINISHED:
            raise MalformedResponse("the response broke off")

    def _step(self, body: bytearray) -> bool:
        """Do one thing; returns whether there may be another one to do."""
        match self._state:
            case _State.HEAD:
                return self._read_head()
            case _State.SIZED:
                return self._take(body, _State.FINISHED)
            case _State.CHUNK_SIZE:
                return self._read_chunk_size()
            case _State.CHUNK:
                return self._take(body, _State.CHUNK_END)
            case _State.CHUNK_END:
                if (line := self._line()) is None:
                    return False
                if line:
                    raise MalformedResponse("a chunk is longer than it says")
                self._state = _State.CHUNK_SIZE
                return True
            case _State.TRAILER:
                return self._read_trailer()
            case _State.UNTIL_CLOSE:
                body += self._buffer
                self._buffer.clear()
                return False
            case _State.FINISHED:
                self._buffer.clear()
                return False

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._buffer) > HEAD_BYTES_MAX):
            raise MalformedResponse(f"the head is larger than {HEAD_BYTES_MAX} bytes")
        if end < 0:
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        is_http_1_0, head = _parse_head(lines)
        if head.status == _SWITCHING_PROTOCOLS:
            raise MalformedResponse("another protocol was not asked for")
        if head.status < _OK:
            self._interim += 1
            if self._interim > INTERIM_MAX:
                raise MalformedResponse("too many interim responses")
            return True
        self._frame(head, is_http_1_0=is_http_1_0)
        self.head = head
        return True

    def _frame(self, head: Head, *, is_http_1_0: bool) -> None:
        """Decide where the body ends (RFC 9112, 6.3)."""
        if head.headers.get("content-encoding", "identity").lower() != "identity":
            raise MalformedResponse("the body is compressed, which was not asked for")
        length = head.headers.get("content-length")
        coding = head.headers.get("transfer-encoding")
        if head.status in _NO_BODY:
            self._state = _State.FINISHED
        elif coding is not None:
            if length is not None or is_http_1_0 or coding.lower() != "chunked":
                raise MalformedResponse("it is not clear where the body ends")
            self._state = _State.CHUNK_SIZE
        elif length is not None:
            if _LENGTH.fullmatch(length) is None:
                raise MalformedResponse("it is not clear how long the body is")
            self._left = int(length)
            self._state = _State.SIZED if self._left else _State.FINISHED
        else:
            self._state = _State.UNTIL_CLOSE

    def _read_chunk_size(self) -> bool:
        if (line := self._line()) is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        size = -1 if match is None else int(match[1], 16)
        if not 0 <= size <= CHUNK_BYTES_MAX:
            raise MalformedResponse("a chunk has no size that can be")
        self._left = size
        self._state = _State.CHUNK if size else _State.TRAILER
        return True

    def _read_trailer(self) -> bool:
        if (line := self._line()) is None:
            return False
        self._trailer_bytes += len(line)
        if self._trailer_bytes > HEAD_BYTES_MAX:
            raise MalformedResponse("the trailer is too large")
        if not line:
            self._state = _State.FINISHED
        return True

    def _take(self, body: bytearray, then: _State) -> bool:
        taken = self._buffer[: self._left]
        del self._buffer[: len(taken)]
        body += taken
        self._left -= len(taken)
        if self._left:
            return False
        self._state = then
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, LINE_BYTES_MAX + 2)
        if end < 0:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise MalformedResponse(f"a line is longer than {LINE_BYTES_MAX} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _parse_head(lines: list[bytes]) -> tuple[bool, Head]:
    status_line = _STATUS_LINE.fullmatch(lines[0])
    if status_line is None:
        raise MalformedResponse("the answer is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        raw_name, colon, raw_value = line.partition(b":")
        if not colon or _NAME.fullmatch(raw_name) is None or _CONTROL.search(raw_value):
            raise MalformedResponse("a header is malformed")
        name, value = raw_name.decode("ascii").lower(), raw_value.strip(b" \t").decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return status_line[1] == b"0", Head(int(status_line[2]), headers)
