"""JSON as it is read from the wire: what the standard library reads, read alike, or refused."""

from __future__ import annotations

import json
from typing import Final

from relay.wire import jsontext
from relay.wire.jsontext import NESTING_MAX, JsonValue, MalformedJson
from tests.fuzz.pieces import text
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """A value comes back as it was; as text and as bytes it is the same one."""
    given = text(data)
    try:
        value = jsontext.loads(given)
    except MalformedJson:
        return
    assert _depth(value) <= NESTING_MAX
    assert _same(value, json.loads(given))
    assert _same(jsontext.loads(jsontext.dumps(value)), value)
    line = jsontext.dumps_ascii(value)
    assert line.isascii()
    assert line.splitlines() == [line]
    assert _same(jsontext.loads(line), value)


def check_bytes(data: bytes) -> None:
    """Bytes that are no UTF-8 are refused, with the same error."""
    try:
        jsontext.loads(data)
    except MalformedJson:
        return
    data.decode("utf-8")


def _check(data: bytes) -> None:
    check(data)
    check_bytes(data)


def _same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are one, where 1 and 1.0 and True are three.

    Two halves of a character may stand side by side, one read as an escape and one as it is.
    """
    return json.dumps(one) == json.dumps(other)


def _depth(value: JsonValue) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0


def seeds() -> list[bytes]:
    """Every kind of value, and both halves of an emoji."""
    return [
        b'{"type":"ack","received":[[0,3],[5,5]],"credit":256,"a":null,"b":true,"c":-1.5e3}',
        b'"\\ud83e"',
        b'"\\udd9e\\u0000\\u2028\\n"',
        b"[" * NESTING_MAX + b"]" * NESTING_MAX,
        b"18446744073709551616",
        b"1e400",
        '{"嘿":"'.encode() + b'\xed\xa0\xbe"}',
    ]


TARGET: Final = Target(_check, seeds)
