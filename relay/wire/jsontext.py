r"""JSON as it goes over the wire: strict where it is read, safe where it is written.

Reading tries msgspec, which is fast and refuses NaN, Infinity and 1e400 by itself, and falls back
to the standard library for the one thing that msgspec refuses and the wire does carry: half of a
surrogate pair. JavaScript SDKs cut text at UTF-16 code units, so an emoji may arrive as `\ud83e`
in one chunk and `\udd9e` in the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import NoReturn

import msgspec

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
"""Anything that JSON can say."""

NESTING_MAX = 16
"""Objects and arrays inside each other. Real messages need 4; msgspec itself stops near 1,000."""

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_ascii_encoder = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


class MalformedJson(ValueError):
    """The text is not JSON, holds a number that JSON cannot say, or is nested too deeply."""


def loads(text: str | bytes) -> JsonValue:
    """Return the value that `text` (a str, or UTF-8) says.

    Lone surrogates are accepted and become lone surrogates of the str. Raises `MalformedJson`.
    """
    value = _decode(text)
    if _may_be_deep(text) and _is_deeper_than(value, NESTING_MAX):
        raise MalformedJson(f"nested deeper than {NESTING_MAX} levels")
    return value


def dumps(value: JsonValue) -> bytes:
    """Return `value` as compact JSON in UTF-8. Lone surrogates are escaped."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _ascii_encoder.encode(value).encode("ascii")


def dumps_ascii(value: JsonValue) -> str:
    """Return `value` as compact JSON in ASCII, on exactly one line.

    Escaping everything matters for SSE: clients that use `splitlines()` break lines at U+2028,
    U+2029, U+0085, VT and FF as well. Raises ValueError for NaN and infinities.
    """
    return _ascii_encoder.encode(value)


quote_ascii: Callable[[str], str] = encode_basestring_ascii
"""Returns what `dumps_ascii` returns for a text, several times as fast."""


def _decode(text: str | bytes) -> JsonValue:
    try:
        value: JsonValue = _decoder.decode(text)
    except RecursionError:
        raise MalformedJson(f"nested deeper than {NESTING_MAX} levels") from None
    except UnicodeEncodeError:
        # A str that holds a lone surrogate itself, not as an escape.
        return _decode_slowly(text)
    except UnicodeDecodeError:
        raise MalformedJson("not UTF-8") from None
    except msgspec.DecodeError as error:
        if _has_surrogate_escape(text):
            return _decode_slowly(text)
        raise MalformedJson(str(error)) from None
    return value


def _decode_slowly(text: str | bytes) -> JsonValue:
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value: JsonValue = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise MalformedJson(f"nested deeper than {NESTING_MAX} levels") from None
    except ValueError as error:
        raise MalformedJson(str(error)) from None
    return value


def _refuse(constant: str) -> NoReturn:
    raise MalformedJson(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise MalformedJson("number out of range")
    return value


def _has_surrogate_escape(text: str | bytes) -> bool:
    if isinstance(text, str):
        return "\\ud" in text or "\\uD" in text
    return b"\\ud" in text or b"\\uD" in text


def _may_be_deep(text: str | bytes) -> bool:
    """A text with few opening brackets cannot be deep; counting them is far cheaper than a walk."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") > NESTING_MAX
    return text.count(b"[") + text.count(b"{") > NESTING_MAX


def _is_deeper_than(value: JsonValue, levels: int) -> bool:
    layer: list[JsonValue] = [value]
    for _ in range(levels):
        layer = [
            child
            for node in layer
            if isinstance(node, (list, dict))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (list, dict))
        ]
        if not layer:
            return False
    return True
