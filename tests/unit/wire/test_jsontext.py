from __future__ import annotations

import pytest

from relay.wire.jsontext import NESTING_MAX, JsonValue, MalformedJson, dumps, dumps_ascii, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (b'{"a":1}', {"a": 1}),
        ("  0  ", 0),
        ('"\\u0000\\r\\n\\u2028"', "\0\r\n\u2028"),
        ("18446744073709551616", 2**64),
        ("1e308", 1e308),
    ],
)
def test_json_is_read(text: str | bytes, value: JsonValue) -> None:
    """What JSON can say arrives as Python says it, large integers exactly."""
    assert loads(text) == value


def test_an_integer_stays_an_integer_and_a_float_a_float() -> None:
    """`1.0` and `true` equal 1 in Python; sequences are checked by type, so types must survive."""
    assert [type(v) for v in (loads("1"), loads("1.0"), loads("true"))] == [int, float, bool]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83e"', "\ud83e"),
        (b'"\\udd9e"', "\udd9e"),
        ('"\\uD83E\\uDD9E"', "🦞"),
        ('{"c":"\\uDD9E \\ud83e"}', {"c": "\udd9e \ud83e"}),
        ('["\ud83e"]', ["\ud83e"]),
        ('{"n":1.5,"c":"\\ud83e"}', {"n": 1.5, "c": "\ud83e"}),
    ],
)
def test_half_of_a_surrogate_pair_is_accepted(text: str | bytes, value: JsonValue) -> None:
    """An emoji that was cut between two chunks keeps its half, escaped or raw."""
    assert loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{} x",
        "{'a':1}",
        '"a\nb"',
        "[1,]",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1" * 5_000,
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        '["\\ud83e", NaN]',
        '["\\ud83e", -Infinity]',
        '["\\ud83e", 1e400]',
        '["\\ud83e", -1e400]',
        '["\\ud83e",]',
        b'["\\ud83e\xff"]',
        '["\ud83e",]',
        '["\\ud83e", ' + "1" * 5_000 + "]",
    ],
)
def test_what_is_not_json_is_refused_with_one_typed_error(text: str | bytes) -> None:
    """NaN, infinities, 1e400 and broken text are refused on the fast way and on the slow one."""
    with pytest.raises(MalformedJson):
        loads(text)


def nested(levels: int, inner: str = "") -> str:
    """Return JSON with `levels` containers inside each other."""
    return (
        '[{"a":' * (levels // 2)
        + "[" * (levels % 2)
        + inner
        + "]" * (levels % 2)
        + "}]" * (levels // 2)
    )


@pytest.mark.parametrize("inner", ["1", '"\\ud83e"'])
def test_nesting_up_to_the_limit_is_read(inner: str) -> None:
    """16 levels of arrays and objects are fine."""
    text = nested(NESTING_MAX, inner)
    assert text.count("[") + text.count("{") == NESTING_MAX
    loads(text)
    loads(text.encode())


@pytest.mark.parametrize("inner", ["1", '"\\ud83e"'])
@pytest.mark.parametrize("levels", [NESTING_MAX + 1, 1_000, 100_000])
def test_deeper_nesting_is_refused(levels: int, inner: str) -> None:
    """One level too many is refused, and so is a bomb, without exhausting the stack."""
    levels += levels % 2  # an even depth keeps the text well-formed
    with pytest.raises(MalformedJson, match="deep"):
        loads(nested(levels, inner))
    with pytest.raises(MalformedJson, match="deep"):
        loads(nested(levels, inner).encode())


def test_a_bomb_with_a_raw_half_of_a_pair_is_refused() -> None:
    """It takes the slow way, whose stack is guarded as well."""
    with pytest.raises(MalformedJson, match="deep"):
        loads(nested(100_000, '"\ud83e"'))


def test_exactly_one_level_too_many_is_refused() -> None:
    """The limit is exact."""
    with pytest.raises(MalformedJson, match="deeper than 16"):
        loads("[" * 17 + "]" * 17)


def test_many_brackets_that_are_not_nested_are_read() -> None:
    """Code in a chunk is full of braces; only real nesting counts."""
    text = dumps({"content": "{[" * 100, "list": [[], {}] * 50})
    assert loads(text) == {"content": "{[" * 100, "list": [[], {}] * 50}


def test_writing_is_compact_utf8() -> None:
    """No spaces, no escapes that are not needed."""
    assert dumps({"a": [1, "嘿"], "b": None}) == '{"a":[1,"嘿"],"b":null}'.encode()


def test_writing_escapes_half_of_a_pair() -> None:
    """UTF-8 cannot say a lone surrogate; the escape can."""
    assert dumps({"a": "\ud83e"}) == b'{"a":"\\ud83e"}'


@pytest.mark.parametrize("character", list("\r\n\v\f\0\x1c\x1d\x1e\x85\u2028\u2029\ud83e🦞é"))
def test_ascii_writing_gives_one_line_of_ascii(character: str) -> None:
    """Whatever is in the text, no client that splits lines in its own way can be misled."""
    line = dumps_ascii({"a": f"x{character}y"})
    assert line.isascii()
    assert line.splitlines() == [line]
    assert loads(line) == {"a": f"x{character}y"}


def test_ascii_writing_refuses_what_json_cannot_say() -> None:
    """NaN would make the whole event unreadable."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps_ascii(float("nan"))
